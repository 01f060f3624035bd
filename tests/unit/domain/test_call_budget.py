"""A month's calls: whose they are, and when the month ends."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.market import DAY
from app.domain.call_budget import LONGEST_MONTH, CallBudget, Month

MOMENTS = st.integers(0, 4_102_444_799)  # to the end of 2099


def at(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}Z").timestamp())


@given(MOMENTS)
def test_every_moment_lies_in_its_month_which_is_as_long_as_the_calendar_says(now: int) -> None:
    month, day = Month.of(now), datetime.fromtimestamp(now, UTC)
    assert month.first <= now < month.end
    assert month.number == day.year * 100 + day.month
    assert month.end - month.first == monthrange(day.year, day.month)[1] * DAY
    assert Month.of(month.end).first == month.end


@pytest.mark.parametrize(
    ("now", "poll", "reserved"),
    [
        ("2024-01-01T00:00:00", 300, 31 * 288 + 1),
        ("2024-02-01T00:00:00", 300, 29 * 288 + 1),
        ("2023-02-01T00:00:00", 300, 28 * 288 + 1),
        ("2024-04-01T00:00:00", 300, 30 * 288 + 1),
        ("2024-02-29T23:55:00", 300, 2),
        ("2024-02-29T23:54:59", 300, 3),
        ("2024-12-31T23:59:59", 300, 2),
        ("2025-01-01T00:00:00", 300, 31 * 288 + 1),
        ("2024-01-31T00:00:00", 86_400, 2),
    ],
)
def test_what_the_collector_needs_ends_with_the_month(now: str, poll: int, reserved: int) -> None:
    budget = CallBudget(10_000, poll)
    assert budget.reserved(at(now)) == reserved
    assert budget.for_requests(at(now)) == 10_000 - reserved


@given(MOMENTS, st.integers(1, 86_400), st.floats(0, 1, exclude_max=True), st.floats(0, 0.05))
def test_a_collector_makes_no_more_calls_than_are_reserved(
    now: int, poll: int, phase: float, late: float
) -> None:
    """Whenever its slots are, and though each may be a little late."""
    left = Month.of(now).end - now
    first_slot = phase * poll - late * poll
    made = max(0, int((left - first_slot) / poll) + 1)
    assert made <= CallBudget(1, poll).reserved(now)


@given(st.integers(1, 3_000_000))
def test_the_shortest_poll_is_the_shortest_that_fits(calls: int) -> None:
    shortest = CallBudget(calls, 1).shortest_poll
    assert CallBudget(calls, shortest).needed(LONGEST_MONTH) <= calls
    if shortest > 1:
        assert CallBudget(calls, shortest - 1).needed(LONGEST_MONTH) > calls


def test_a_refusal_names_what_is_spent_and_when_the_next_month_begins() -> None:
    error = CallBudget(10_000, 300).refusal("api.coingecko.com", 1_071, at("2024-01-31T23:00:00"))
    assert error.retry_after == 3_600
    for words in ("10,000", "1,071", "13 are reserved", "/history", "COINGECKO_MONTHLY_CALLS"):
        assert words in str(error)
