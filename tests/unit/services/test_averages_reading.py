"""Which buckets a request means, and what the reply says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidParameter, ReversedPeriod
from app.core.market import (
    DAY,
    EMPTY_SERIES,
    OLDEST_BUCKET,
    Interval,
    Series,
    SeriesState,
    Window,
)
from app.domain.times import LATEST, Moment, moment
from app.services.averages import (
    MAX_POINTS,
    Selection,
    limited,
    read_averages,
    read_candles,
    select,
)
from app.services.coverage import CoverageCounter
from app.services.gaps import inspect
from app.services.reasons import why_absent
from app.testing.series import MemorySeriesStore
from tests.support.api import BTC, LAST, NOW, load
from tests.support.candles import BTC_DAILY

MINUTES: Final = Series(BTC, Interval.MINUTE)


def at(second: int) -> Moment:
    return Moment(second, second)


def wanted(
    since: Moment | None = None,
    until: Moment | None = None,
    series: Series = BTC_DAILY,
    days: int = 365,
) -> Selection:
    return select(series, since, until, days, NOW)


def points(body: bytes) -> list[int]:
    return [row["timestamp"] for row in json.loads(body)]


def test_without_a_period_the_last_365_closed_days_are_meant() -> None:
    found = wanted()
    assert (found.first, found.last) == (LAST - 364 * DAY, LAST)
    assert found.expected == 365


def test_a_default_period_below_a_day_is_at_most_ten_thousand_buckets() -> None:
    found = wanted(series=MINUTES)
    assert found.expected == MAX_POINTS
    assert wanted(series=Series(BTC, Interval.HOUR)).expected == 364 * 24 + 1
    assert wanted(series=MINUTES, days=30).history_days == 30


def test_a_period_that_ends_before_it_begins_is_refused_with_both_ends() -> None:
    with pytest.raises(ReversedPeriod) as refused:
        wanted(at(LAST), at(LAST - DAY))
    assert "from (2024-03-29T00:00:00Z) lies after to (2024-03-28T00:00:00Z)" in str(refused.value)


def test_an_instant_between_two_seconds_is_an_empty_period_and_not_reversed() -> None:
    between = moment("2024-03-29T00:00:00.5Z", "from")
    assert wanted(between, between).expected == 0


@given(
    st.none() | st.integers(0, LATEST).map(at),
    st.none() | st.integers(0, LATEST).map(at),
    st.sampled_from(list(Interval)),
    st.integers(1, 10_000),
)
def test_what_is_asked_lies_on_the_grid_and_within_the_period(
    since: Moment | None, until: Moment | None, interval: Interval, days: int
) -> None:
    try:
        found = wanted(since, until, Series(BTC, interval), days)
    except ReversedPeriod:
        assert since is not None
        assert until is not None
        assert since.first > until.last
        return
    assert found.first % interval.seconds == 0
    assert found.last % interval.seconds == 0
    assert since is None or 0 <= found.first - since.first < interval.seconds
    assert until is None or 0 <= until.last - found.last < interval.seconds
    assert found.expected >= 0
    if since is None:
        assert found.expected <= MAX_POINTS


def averages(
    store: MemorySeriesStore, what: Selection, window: Window = 20
) -> tuple[list[int], int]:
    found = read_averages(store, store, window, what)
    return points(found.body), found.missing


def test_a_hole_is_counted_for_each_window_that_it_breaks() -> None:
    store = MemorySeriesStore()
    load(store, without=[LAST - 30 * DAY])
    assert averages(store, wanted(), 20)[1] == 20
    assert averages(store, wanted(), 50)[1] == 31
    found = read_candles(store, store, (20,), wanted())
    assert found.missing == 1
    assert len(points(found.body)) == 364
    newest = json.loads(found.body)[-1]
    assert list(newest)[-1] == "mms_20"
    assert read_candles(store, store, (), wanted(at(LAST - DAY))).missing == 0


@pytest.mark.parametrize(("after", "missing"), [(0, 0), (119, 0), (120, 1)])
def test_what_has_just_ended_is_not_missing_while_it_may_not_count_yet(
    after: int, missing: int
) -> None:
    store = MemorySeriesStore()
    load(store)
    now = LAST + 2 * DAY + after
    assert (
        read_candles(store, store, (), select(BTC_DAILY, None, None, 365, now)).missing == missing
    )
    assert inspect(store, BTC_DAILY, 365, now).missing == missing
    assert CoverageCounter(store, 365).coverage(BTC_DAILY, now).missing == missing
    # Where it is known not to exist, it is missing at once.
    with store.begin(BTC_DAILY) as unit:
        unit.note_absent([LAST + DAY], now)
        unit.finish(changed=False, now=now)
    assert inspect(store, BTC_DAILY, 365, now).missing == 1


def test_a_series_that_is_not_stored_is_an_empty_reply_without_a_date() -> None:
    store = MemorySeriesStore()
    found = read_averages(store, store, 20, wanted())
    assert (found.body, found.state.last, found.missing) == (b"[]\n", None, 365)
    assert read_candles(store, store, (), wanted()).state.last is None


def test_more_than_ten_thousand_stored_buckets_are_refused_with_the_first_part_to_ask() -> None:
    store = MemorySeriesStore()
    newest = MINUTES.interval.last_closed(NOW)
    buckets = load(store, MINUTES, last=newest, count=MAX_POINTS + 1)
    with pytest.raises(InvalidParameter, match="10,001 stored buckets of 1m") as refused:
        read_candles(store, store, (), wanted(at(0), None, MINUTES))
    assert f"from={buckets[0]}&to={buckets[-2]}" in str(refused.value)
    part = read_candles(store, store, (), wanted(at(buckets[0]), at(buckets[-2]), MINUTES))
    assert len(points(part.body)) == MAX_POINTS


def test_a_wide_period_over_nothing_stays_what_was_asked_for_from_2011_on() -> None:
    asked_for = wanted(at(0), at(LATEST), MINUTES)
    found = limited(MemorySeriesStore(), asked_for)
    assert found == (OLDEST_BUCKET, asked_for.last)


def test_a_wide_period_over_few_stored_buckets_is_answered() -> None:
    store = MemorySeriesStore()
    newest = MINUTES.interval.last_closed(NOW)
    buckets = load(store, MINUTES, last=newest, count=300)
    found = read_averages(store, store, 200, wanted(at(0), at(LATEST), MINUTES))
    assert points(found.body) == buckets[199:]


@pytest.fixture(scope="module")
def holey() -> MemorySeriesStore:
    store = MemorySeriesStore()
    load(store, without=[LAST - 30 * DAY, LAST - 300 * DAY])
    return store


@given(first=st.integers(-5, 570), last=st.integers(-5, 570))
def test_any_slice_is_the_slice_of_the_whole(
    holey: MemorySeriesStore, first: int, last: int
) -> None:
    whole = json.loads(read_averages(holey, holey, 50, wanted(at(0))).body)
    low, high = sorted((LAST - first * DAY, LAST - last * DAY))
    part = json.loads(read_averages(holey, holey, 50, wanted(at(low), at(high))).body)
    assert part == [row for row in whole if low <= row["timestamp"] <= high]


FIRST: Final = LAST - 563 * DAY
STORED: Final = SeriesState(revision=1, first=FIRST, last=LAST, checked_at=int(NOW))


@pytest.mark.parametrize(
    ("first", "window", "explained"),
    [
        (FIRST, None, False),
        (FIRST - 1, None, False),
        (FIRST - DAY, None, True),
        (FIRST + 18 * DAY, 20, True),
        (FIRST + 19 * DAY, 20, False),
        (FIRST + 198 * DAY, 200, True),
        (FIRST + 199 * DAY, 200, False),
        (0, 20, True),
    ],
)
def test_what_lies_before_all_that_can_have_a_value_is_explained(
    first: int, window: Window | None, explained: bool
) -> None:
    for until in (None, at(FIRST - 50 * DAY)):
        if until is None or first < until.first:
            found = why_absent(wanted(at(first), until), STORED, window, 1)
            assert (found is not None) is explained
            assert found is None or "keeps 365 days" in found


@pytest.mark.parametrize("days", [30, 563])
@pytest.mark.parametrize("since", [None, 0])
def test_who_asks_for_more_than_the_exchange_has_is_not_sent_to_the_operator(
    days: int, since: int | None
) -> None:
    young = replace(STORED, first=LAST - days * DAY + DAY)
    selection = wanted(None if since is None else at(since))
    found = why_absent(selection, young, 200, 1)
    assert found is not None
    # One bucket without a trade may lie before the first candle, but that was loaded, too.
    raised = since == 0 and days == 563
    assert ("HISTORY_DAYS" in found) is raised
    assert ("GET /BRLBTC/gaps?interval=1d says which" in found) is not raised
    assert len(found) <= 300
    assert found.isascii()


CLOSED: Final = LAST + DAY
"""The newest bucket that has ended, a day after the newest stored one."""


@pytest.mark.parametrize(
    ("since", "until", "window", "state", "reason"),
    [
        (None, None, 20, EMPTY_SERIES, "no load of it has begun"),
        (
            None,
            None,
            20,
            replace(EMPTY_SERIES, first_tried_at=LAST),
            "the service has been asking the exchange for it since 2024-03-29T00:00:00Z",
        ),
        (
            None,
            None,
            None,
            replace(EMPTY_SERIES, first_tried_at=LAST, checked_at=LAST + DAY),
            "the exchange had no candle of it at 2024-03-30T00:00:00Z",
        ),
        (
            None,
            None,
            200,
            replace(STORED, first=LAST - 119 * DAY),
            "needs 200 candles in a row, and those of BRLBTC at 1d begin at 2023-12-01T00:00:00Z, "
            "at most 120 until now: the first average can be that of 2024-06-17T00:00:00Z",
        ),
        (CLOSED + 9 * DAY, CLOSED + 10 * DAY, 20, STORED, "is in the future"),
        (LATEST, LATEST, None, STORED, "begins with the bucket of 9999-12-31T23:59:59Z"),
        (
            CLOSED + DAY,
            CLOSED + 2 * DAY - 1,
            None,
            STORED,
            "that of 2024-03-31T00:00:00Z ends at 2024-04-01T00:00:00Z",
        ),
        (FIRST + 1, FIRST + 2, None, STORED, "No bucket of 1d begins in the period"),
        (CLOSED + DAY + 1, CLOSED + DAY + 2, 20, STORED, "No bucket of 1d begins in the period"),
        (CLOSED + DAY + 1, None, 20, STORED, "No bucket that has ended begins in the period"),
        (
            CLOSED,
            CLOSED,
            20,
            STORED,
            "newest stored bucket of BRLBTC at 1d is that of 2024-03-29T00:00:00Z, and the period "
            "begins after it. The service last had all that the exchange has at 2024-03-30T",
        ),
        (CLOSED, CLOSED, 20, replace(STORED, checked_at=None), "No load has reached"),
        (LAST - 10 * DAY, LAST, None, STORED, "GET /BRLBTC/gaps?interval=1d says what is missing"),
        (LAST - 10 * DAY, LAST, 50, STORED, "all 50 candles that its average needs"),
    ],
)
def test_an_empty_reply_has_its_reason(
    since: int | None, until: int | None, window: Window | None, state: SeriesState, reason: str
) -> None:
    selection = select(
        BTC_DAILY,
        None if since is None else at(since),
        None if until is None else at(until),
        365,
        NOW + DAY,
    )
    text = why_absent(selection, state, window, 0)
    assert text is not None
    assert reason in text


@given(
    since=st.none() | st.integers(0, LATEST),
    until=st.none() | st.integers(0, LATEST),
    window=st.sampled_from([None, 20, 200]),
    first=st.none() | st.integers(-5, 600),
    checked=st.booleans(),
    interval=st.sampled_from(list(Interval)),
)
def test_every_empty_reply_has_a_reason_that_fits_a_header_and_is_no_command(
    since: int | None,
    until: int | None,
    window: Window | None,
    first: int | None,
    checked: bool,
    interval: Interval,
) -> None:
    if since is not None and until is not None and until < since:
        since, until = until, since
    begin = None if since is None else at(since)
    end = None if until is None else at(until)
    selection = wanted(begin, end, Series(BTC, interval))
    state = EMPTY_SERIES
    if first is not None:
        state = replace(STORED, first=LAST - max(0, first) * DAY, checked_at=None)
    if checked:
        state = replace(state, checked_at=int(NOW))
    text = why_absent(selection, state, window, 0)
    assert text is not None
    assert len(text) <= 300
    assert text.isascii()
    assert "make " not in text
    assert "python -m app " not in text
