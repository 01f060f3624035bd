"""Counts of requests: bounded, and merged between processes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from app.core.setting_edge import Rate
from app.db.cache.request_rate import MOST_MERGED, LocalRequestRate, Merging
from tests.support.patience import until

NOW = 1_700_000_040  # a minute begins


@dataclass
class Shared:
    """Counts in memory, which may be away; remembers what it was asked."""

    away: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, int, int, int]] = field(default_factory=list)

    def count(self, key: str, by: int, whole: int, ttl: int) -> int | None:
        self.asked.append((key, by, whole, ttl))
        if self.away:
            return None
        self.counts[key] = self.counts[key] + by if key in self.counts else whole
        return self.counts[key]


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


def send(rate: LocalRequestRate, client: str, count: int) -> int:
    """Send so many requests; returns how many pass."""
    return sum(rate.take(client)[0] >= 0 for _ in range(count))


def two(clock: Clock, limit: int = 10) -> tuple[LocalRequestRate, LocalRequestRate]:
    """The same limit in two processes."""
    first, second = (LocalRequestRate("default", Rate(limit, 60), clock) for _ in range(2))
    return first, second


def test_processes_that_merge_limit_a_client_together_and_no_other() -> None:
    shared, clock = Shared(), Clock()
    first, second = two(clock)
    assert send(first, "a", 6) == 6
    assert send(second, "a", 1) == 1
    for rate in (first, second, first):
        assert rate.merge(shared)
    assert send(second, "a", 9) == 3
    assert send(second, "b", 20) == 10
    # What passed in the last second of a window counts in the next one, for both.
    clock.now += 60
    send(first, "c", 1)
    for rate in (second, first):
        rate.merge(shared)
    assert send(second, "a", 9) == 0
    clock.now += 30
    assert send(second, "a", 9) == 5


def test_what_has_not_changed_is_not_sent_again() -> None:
    shared, clock = Shared(), Clock()
    rate = LocalRequestRate("default", Rate(10, 86_400), clock)
    send(rate, "2001:db8:1:2::/64", 3)
    for _ in range(3):
        rate.merge(shared)
    [(key, by, whole, ttl)] = shared.asked
    assert (by, whole, ttl) == (3, 3, 172_800)
    send(rate, "2001:db8:1:2::/64", 2)
    rate.merge(shared)
    assert shared.asked[1:] == [(key, 2, 5, ttl)]


def test_one_merge_sends_a_bounded_number_of_counts_the_heaviest_first() -> None:
    shared, clock = Shared(), Clock()
    rate = LocalRequestRate("default", Rate(10, 60), clock)
    for number in range(MOST_MERGED + 50):
        send(rate, f"client {number}", 1)
    send(rate, "heavy", 5)
    rate.merge(shared)
    assert len(shared.asked) == MOST_MERGED
    assert shared.asked[0][1] == 5
    rate.merge(shared)
    assert len(shared.asked) == MOST_MERGED + 51


def test_while_the_shared_counts_are_away_each_limits_by_what_it_knows_and_then_they_merge() -> (
    None
):
    shared, clock = Shared(), Clock()
    first, second = two(clock)
    send(first, "a", 4)
    send(second, "a", 1)
    for rate in (first, second):
        rate.merge(shared)
    shared.away = True
    assert send(first, "a", 1) == 1
    assert not first.merge(shared)
    assert len(shared.asked) == 3  # no second try in this turn
    assert send(second, "a", 9) == 5  # its own 6, and the 4 that it knows of
    assert not second.merge(shared)
    # It comes back and has forgotten everything; the processes have not.
    shared.away = False
    shared.counts.clear()
    for rate in (first, second):
        rate.merge(shared)
    assert send(second, "a", 9) == 0
    assert send(first, "a", 1) == 1
    first.merge(shared)
    assert send(first, "a", 9) == 0


def test_many_clients_take_bounded_memory_and_limit_nobody_else() -> None:
    clock = Clock()
    rate = LocalRequestRate("default", Rate(2, 60), clock, most_clients=100)
    assert send(rate, "first", 3) == 2
    for number in range(10_000):
        assert send(rate, f"client {number}", 3) == 2
    assert len(rate._windows[1].own) <= 100
    assert send(rate, "first", 3) == 2  # forgotten


def test_a_client_that_is_forgotten_while_it_is_merged_is_counted_anew() -> None:
    class Slow(Shared):
        def count(self, key: str, by: int, whole: int, ttl: int) -> int | None:
            if not self.asked:
                for number in range(200):
                    send(rate, f"client {number}", 1)
            return super().count(key, by, whole, ttl)

    shared = Slow()
    rate = LocalRequestRate("default", Rate(10, 60), Clock(), most_clients=100)
    send(rate, "first", 3)
    rate.merge(shared)
    [(key, *_)] = shared.asked
    send(rate, "first", 2)
    rate.merge(shared)
    assert (key, 2, 2, 120) in shared.asked


def test_a_clock_that_jumps_limits_nobody_for_ever() -> None:
    clock = Clock()
    rate = LocalRequestRate("default", Rate(2, 60), clock)
    for jump in (-86_400, 30, 86_400 * 365):
        clock.now += jump
        send(rate, "a", 3)
        clock.now += 120
        assert send(rate, "a", 3) == 2


def test_merging_goes_on_until_it_is_closed() -> None:
    shared, clock = Shared(), Clock()
    rate = LocalRequestRate("default", Rate(10, 60), clock)
    merging = Merging([rate], shared, wait=lambda closed, seconds: closed.wait(seconds / 100))
    send(rate, "a", 3)
    until(lambda: bool(shared.asked))
    merging.close()
    assert not [each for each in threading.enumerate() if each.name == "rates"]


def test_a_round_that_finds_the_shared_counts_away_ends_there() -> None:
    shared, clock = Shared(away=True), Clock()
    rates = [LocalRequestRate(name, Rate(10, 60), clock) for name in ("default", "collect")]
    for rate in rates:
        send(rate, "a", 1)
    ended = iter([False, True])
    Merging(rates, shared, wait=lambda _closed, _seconds: next(ended)).close()
    assert len(shared.asked) == 1
