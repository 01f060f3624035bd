"""The sliding-window counter: never too many, and no one waits longer than needed."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from app.core.setting_edge import Rate
from app.db.cache.request_rate import LocalRequestRate

rates = st.builds(Rate, st.integers(1, 50), st.sampled_from([1, 60, 3_600]))
parts = st.floats(0, 2.5, allow_nan=False)
"""Times between two requests, in windows."""

TOLERANCE = 1e-6


@dataclass
class Stand:
    """A limit, and the times at which requests passed."""

    rate: Rate
    now: float = 1_700_000_000.25
    passed: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limit = LocalRequestRate("default", self.rate, lambda: self.now)

    def ask(self) -> int:
        """Send a request; returns 0 if it passes, else the seconds to wait."""
        left, seconds = self.limit.take("client")
        if left < 0:
            return seconds
        self.passed.append(self.now)
        return 0

    def weighted(self, at: float) -> float:
        """What the definition counts at a moment: this window, and the part of the last one."""
        seconds = self.rate.seconds
        begins = at // seconds * seconds
        now = sum(begins <= time <= at for time in self.passed)
        before = sum(begins - seconds <= time < begins for time in self.passed)
        return now + before * (begins + seconds - at) / seconds


@given(rates, st.lists(parts))
def test_never_more_pass_than_the_definition_lets(rate: Rate, steps: list[float]) -> None:
    stand = Stand(rate)
    for step in steps:
        stand.now += step * rate.seconds / 5
        weighted = stand.weighted(stand.now)
        refused = stand.ask()
        if refused:
            assert weighted > rate.count - 1 - TOLERANCE
        else:
            assert weighted <= rate.count - 1 + TOLERANCE


@given(rates, st.lists(st.tuples(parts, st.integers(1, 60)), min_size=1))
def test_who_waits_as_long_as_told_passes_and_a_second_earlier_does_not(
    rate: Rate, bursts: list[tuple[float, int]]
) -> None:
    stand = Stand(rate)
    for step, count in bursts:
        stand.now += step * rate.seconds
        for _ in range(count):
            seconds = stand.ask()
            if seconds:
                begun = stand.now
                stand.now = begun + seconds - 1
                assert stand.limit.left("client")[0] < 0
                stand.now = begun + seconds
                assert stand.limit.left("client")[0] >= 1
                stand.now = begun
                break


def test_a_client_may_send_all_at_once_and_then_as_fast_as_the_last_window_fades() -> None:
    stand = Stand(Rate(600, 60), now=1_700_000_040)  # a window begins
    assert [stand.ask() for _ in range(600)] == [0] * 600
    assert stand.ask() == 61  # nothing fades before the next window, and then 10 a second
    stand.now += 90
    assert [stand.ask() for _ in range(301)] == [0] * 300 + [1]


def test_what_is_left_is_told_and_holds_until_then() -> None:
    stand = Stand(Rate(3, 60), now=1_700_000_045.5)
    assert [stand.limit.take("client") for _ in range(4)] == [
        (2, 55),
        (1, 55),
        (0, 55),
        (-1, 75),
    ]
    assert stand.limit.take("another") == (2, 55)
