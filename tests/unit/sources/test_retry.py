"""When a failed question is asked again, and how long a host may make us wait."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import (
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.sources.retry import (
    LONGEST_WAIT,
    RetryPolicy,
    decide,
    parse_http_date,
    parse_retry_after,
)

NOW = 1_711_829_417.0
DOWN = UpstreamUnavailable("down", host="h")
POLICY = RetryPolicy(attempts=5, base=1.0, cap=30.0, total=90.0)


def highest() -> float:
    return 1.0


@pytest.mark.parametrize("kind", [UpstreamBlocked, UpstreamRejected, UpstreamNonsense])
def test_only_what_is_temporary_is_asked_again(kind: type[UpstreamError]) -> None:
    assert decide(POLICY, kind("no", host="h"), 1, 0.0, lambda: 0.0) is None
    assert decide(POLICY, DOWN, 1, 0.0, lambda: 0.0) == 0.0


def test_the_longest_wait_doubles_with_each_attempt_up_to_the_cap() -> None:
    patient = RetryPolicy(attempts=9, base=1.0, cap=30.0, total=1e9)
    waits = [decide(patient, DOWN, attempt, 0.0, highest) for attempt in range(1, 8)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@given(share=st.floats(0, 1, exclude_max=True), attempt=st.integers(1, 4))
def test_jitter_takes_any_share_of_the_whole_wait(share: float, attempt: int) -> None:
    assert decide(POLICY, DOWN, attempt, 0.0, lambda: share) == share * 2.0 ** (attempt - 1)


def test_the_last_attempt_is_the_last() -> None:
    assert decide(POLICY, DOWN, 4, 0.0, highest) == 8.0
    assert decide(POLICY, DOWN, 5, 0.0, highest) is None


def test_a_wait_that_would_leave_a_request_no_room_within_the_total_is_not_begun() -> None:
    assert decide(POLICY, DOWN, 1, 86.9, highest) == 1.0
    assert decide(POLICY, DOWN, 1, 87.0, highest) is None


@given(wait=st.floats(0, 80), share=st.floats(0, 1, exclude_max=True))
def test_the_wait_that_the_host_asked_for_is_never_undercut(wait: float, share: float) -> None:
    asked = UpstreamUnavailable("wait", host="h", retry_after=wait)
    delay = decide(POLICY, asked, 1, 0.0, lambda: share)
    assert delay is not None
    assert delay >= wait


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("0.25", 0.25),
        ("9" * 400, LONGEST_WAIT),
        ("Mon, 30 Mar 9999 20:10:47 GMT", LONGEST_WAIT),
        ("Sat, 30 Mar 2024 20:10:47 GMT", 30.0),
        ("Sat, 30 Mar 2024 17:11:17 -0300", 60.0),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date_and_capped(value: str, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *[None, "", "-1", "1e3", "NaN", "inf", "soon", "５", "1;2"],
        *["Sat, 30 Mar 2024 20:10:16 GMT", "Sat, 99 Mar 2024 20:10:47 GMT"],
    ],
)
def test_a_wait_that_makes_no_sense_is_as_none(value: str | None) -> None:
    assert parse_retry_after(value, NOW) is None


@given(st.text())
def test_no_header_breaks_the_reading_of_a_wait_or_a_date(value: str) -> None:
    wait = parse_retry_after(value, NOW)
    assert wait is None or 0 <= wait <= LONGEST_WAIT
    assert parse_http_date(value) is None or isinstance(parse_http_date(value), int)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's zone is Sao Paulo's."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/Sao_Paulo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_a_date_without_a_zone_is_utc_whatever_the_zone_of_this_machine() -> None:
    assert time.localtime(NOW).tm_hour == 17
    assert parse_http_date("Sat, 30 Mar 2024 20:10:17 GMT") == NOW
    assert parse_http_date("Sat, 30 Mar 2024 20:10:17 -0000") == NOW
    assert parse_http_date("Sat, 30 Mar 2024 20:10:17") == NOW
