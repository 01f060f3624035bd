"""What a failing memcached may add to a read: what the measurement judges, and by which of its times."""

from __future__ import annotations

import threading
import time

import pytest

from benchmarks.reliability.caches import (
    ALONE,
    FIRST,
    PRODUCTION,
    THEN,
    WITHOUT,
    Pace,
    Times,
    judged,
    p99,
    spent,
)


def times(*, first: float = 0.15, then: float = 0.0001, whole: float = 0.010) -> Times:
    """Two hundred of each, of which the longest two per cent are as given."""

    def of(longest: float, usual: float) -> dict[str, list[float]]:
        return {name: [usual] * 196 + [longest] * 4 for name in (ALONE, PRODUCTION)}

    found = Times(of(first, 0.15), of(then, 0.0001))
    found.whole = {ALONE: [whole] * 200, PRODUCTION: [0.010] * 200, WITHOUT: [0.010] * 200}
    return found


def test_what_is_within_the_limits_is_kept_and_said_in_milliseconds() -> None:
    at_first, then = judged(times(), "sqlite", 50)
    assert at_first.held
    assert then.held
    assert at_first.measured == f"400 failures: {ALONE} 150 ms, {PRODUCTION} 150 ms"
    assert f"400 reads: {ALONE} 0.1 ms" in then.measured
    assert f"{WITHOUT} 10 ms" in then.measured


@pytest.mark.parametrize(
    ("found", "held"),
    [
        (times(first=FIRST), (True, True)),
        (times(first=FIRST + 0.001), (False, True)),
        (times(then=THEN), (True, True)),
        (times(then=THEN + 0.001), (True, False)),
        (times(whole=0.010 + THEN - 0.001), (True, True)),
        (times(whole=0.010 + THEN + 0.001), (True, False)),
    ],
)
def test_each_limit_is_judged_for_itself(found: Times, held: tuple[bool, bool]) -> None:
    assert tuple(figure.held for figure in judged(found, "sqlite", 50)) == held


def test_a_read_that_is_wrong_breaks_every_promise() -> None:
    found = times()
    found.wrong.append("one average is another's")
    assert [figure.held for figure in judged(found, "sqlite", 50)] == [False, False]


def test_a_busy_machine_may_be_allowed_for() -> None:
    found = times(first=1.0, then=0.5)
    assert all(figure.held for figure in judged(found, "sqlite", 50, slack=1.0))


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (50, 50), (99, 99), (100, 99), (200, 198)])
def test_the_percentile_is_one_of_the_values(count: int, rank: int) -> None:
    assert p99(range(count, 0, -1)) == rank


def test_waiting_counts_in_full() -> None:
    found, seconds = spent(lambda: threading.Event().wait(0.05))
    assert not found
    assert seconds >= 0.05


def test_a_broken_node_is_left_alone_in_earnest_but_not_once_it_is_mended() -> None:
    pace, closed = Pace(), threading.Event()
    begun = time.monotonic()
    assert not pace(closed, 0.1)
    assert time.monotonic() - begun >= 0.1
    pace.mended.set()
    assert not pace(closed, 3_600)
    closed.set()
    assert pace(closed, 3_600)
