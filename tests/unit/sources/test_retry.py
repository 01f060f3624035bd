"""When a failed question is asked again, and how long a host may make us wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import UpstreamUnavailable
from app.sources.retry import (
    LONGEST_WAIT,
    RetryPolicy,
    decide,
    parse_retry_after,
)

NOW = 1_711_829_417.0
DOWN = UpstreamUnavailable("down", host="h")
POLICY = RetryPolicy(attempts=5, base=1.0, cap=30.0, total=90.0)


def highest() -> float:
    return 1.0


def test_the_longest_wait_doubles_with_each_attempt_up_to_the_cap() -> None:
    patient = RetryPolicy(attempts=9, base=1.0, cap=30.0, total=1e9)
    waits = [decide(patient, DOWN, attempt, 0.0, highest) for attempt in range(1, 8)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


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
