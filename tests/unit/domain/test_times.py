"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidParameter
from app.core.market import DAY, Interval
from app.domain.times import ALLOWED, LATEST, Moment, duration, moment, served_period

MIDNIGHT = 1_711_670_400
"""2024-03-29T00:00:00Z"""


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("0", 0),
        ("1711670400", MIDNIGHT),
        # Eight digits that are no date.
        ("20264520", 20_264_520),
        ("2024-03-29T00:00Z", MIDNIGHT),
        ("2024-03-29T00:00:00Z", MIDNIGHT),
        ("2024-03-29t00:00:00z", MIDNIGHT),
        ("2024-03-28T21:00:00-03:00", MIDNIGHT),
        ("2024-03-29T05:30:00+05:30", MIDNIGHT),
        # As strftime's %z and PostgreSQL write a zone.
        ("2024-03-28T21:00:00-0300", MIDNIGHT),
        ("2024-03-29T05:30+0530", MIDNIGHT),
        ("2024-03-28T21:00:00-03", MIDNIGHT),
        ("2024-03-29T00:00:00+00", MIDNIGHT),
        (str(LATEST), LATEST),
        ("2024-02-29T12:34:56Z", 1_709_210_096),
    ],
)
def test_an_instant_is_one_second(text: str, at: int) -> None:
    assert moment(text, "from") == Moment(at, at)


def test_a_date_is_all_of_its_day() -> None:
    assert moment("2024-03-29", "to") == Moment(MIDNIGHT, MIDNIGHT + DAY - 1)
    assert moment("1970-01-01", "to") == Moment(0, DAY - 1)
    assert moment("9999-12-31", "to").last == LATEST


def test_a_plus_that_arrives_as_a_space_still_means_east() -> None:
    for zone in ("05:30", "0530"):
        assert moment(f"2024-03-29T05:30:00 {zone}", "from") == Moment(MIDNIGHT, MIDNIGHT)
    assert moment("2024-03-29T05:00 05", "from") == Moment(MIDNIGHT, MIDNIGHT)


@pytest.mark.parametrize("fraction", ["25", "000001"])
def test_an_instant_between_two_seconds_begins_after_and_ends_before(fraction: str) -> None:
    assert moment(f"2024-03-29T00:00:00.{fraction}Z", "from") == Moment(MIDNIGHT + 1, MIDNIGHT)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1711670400000", "looks like milliseconds; times are in seconds"),
        ("20261120", "looks like a date without its hyphens (2026-11-20)"),
        ("20260231", "looks like a date without its hyphens (2026-02-31)"),
        ("2026", "looks like a year; its first day is 2026-01-01"),
        ("253402300800", "lies after the year 9999"),
        ("9" * 41, "is too long for a moment"),
        ("1969-12-31", "lies before 1970-01-01"),
        ("2024-03-29T00:00:00", "has no zone: add Z for UTC, or an offset such as -03:00"),
        ("2023-02-29", "is not in the calendar"),
        ("2024-03-29T25:00:00Z", "no time of day"),
        ("2024-03-29T00:00:00-2400", "no time of day"),
        ("2024-03-29T00:00:00-0360", "is not a moment"),
        ("2024-03-29T00:00:00-300", "is not a moment"),
        ("2024-03-29T00:00:00-3", "is not a moment"),
        ("2024-03-29-0300", "is not a moment"),
        ("", "is not a moment"),
        ("-1", "is not a moment"),
        ("١٧١١٦٧٠٤٠٠", "is not a moment"),
        ("1711670400\n", "is not a moment"),
    ],
)
def test_anything_else_is_refused_with_the_name_and_what_is_allowed(
    text: str, problem: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        moment(text, "from_ts")
    said = str(refused.value)
    assert said.startswith(f"from_ts={text[:40]!r}"[:-1])
    assert problem in said
    assert said.endswith(ALLOWED)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = moment(text, "to")
    except InvalidParameter:
        return
    assert 0 <= found.last <= LATEST
    assert 0 <= found.first <= LATEST


@pytest.mark.parametrize("interval", list(Interval))
def test_the_served_period_is_so_many_days_of_closed_buckets(interval: Interval) -> None:
    now = datetime(2024, 3, 30, 10, 20, tzinfo=UTC).timestamp()
    served = served_period(interval, 365, now)
    assert served.last == interval.last_closed(now)
    assert interval.count(*served) * interval.seconds == 365 * DAY
    assert served.first == interval.floor(served.first)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (3_605, "1 h"),
        (82_800, "23 h"),
        (183_600, "2 d 3 h"),
        (86_400 * 400 + 59, "400 d"),
        (-90, "-1 min 30 s"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: int, text: str) -> None:
    assert duration(seconds) == text
