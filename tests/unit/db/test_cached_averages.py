"""The cache in front of the averages: the same answers, far fewer questions, never late."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from app.core.errors import StoreUnavailable
from app.core.market import EMPTY_SERIES, AverageSlice, Interval, Pair, SeriesState, Window
from app.core.ports import Cache
from app.db.cache.memory import MemoryCache
from app.db.cached import CHECK_EVERY, CachedAverageStore
from app.utils import blocks
from tests.support.candles import BTC, ETH
from tests.support.means import RecordingMeans, Rows, between, rows_in
from tests.support.patience import until, waiting_in

MINUTE = Interval.MINUTE
STEP = MINUTE.seconds
SIZE = blocks.BLOCK * STEP
START = 3_400 * SIZE
"""Where a block of minutes begins."""
EVER = 2**40


@dataclass
class Clock:
    """A monotonic clock that a test sets."""

    now: float = 50.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Spoilable:
    """A cache whose entries a test can spoil; `gets` and `sets` record its use."""

    entries: dict[str, bytes] = field(default_factory=dict)
    gets: list[str] = field(default_factory=list)
    sets: list[str] = field(default_factory=list)
    keeps: bool = True

    def get(self, key: str) -> bytes | None:
        self.gets.append(key)
        return self.entries.get(key)

    def set(self, key: str, value: bytes) -> None:
        self.sets.append(key)
        if self.keeps:
            self.entries[key] = value

    def healthy(self) -> bool:
        return True

    def close(self) -> None:
        pass


@dataclass
class Stand:
    """A cached store with everything around it."""

    source: RecordingMeans = field(default_factory=RecordingMeans)
    clock: Clock = field(default_factory=Clock)
    cache: Cache = field(default_factory=lambda: MemoryCache(10**9))

    def __post_init__(self) -> None:
        self.store = CachedAverageStore(self.source, self.cache, monotonic=self.clock)

    def read(self, first: int = 0, last: int = EVER, window: int = 20) -> AverageSlice:
        return self.store.read(BTC, MINUTE, window, first, last)

    def questions(self) -> list[str]:
        """What the source was asked since this was last called."""
        asked = list(self.source.asked)
        self.source.asked.clear()
        return asked


def minutes(first: int, count: int, seed: int = 1) -> dict[int, int]:
    """Averages of so many minutes from `first`, in blocks of the test's own making."""
    chance = random.Random(seed)
    return {first + number * STEP: chance.randrange(10**14) for number in range(count)}


WITHIN = minutes(START + 100 * STEP, 50)
ACROSS = minutes(START - 30 * STEP, 60)


def test_a_first_read_asks_one_question_and_the_next_ones_none() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    found = stand.read(START, START + SIZE - STEP)
    assert (found.count, rows_in(found.body)) == (50, WITHIN)
    assert stand.questions() == ["means"]
    for first in range(START + 90 * STEP, START + 160 * STEP, 7 * STEP):
        part = stand.read(first, first + 20 * STEP)
        assert rows_in(part.body) == between(WITHIN, first, first + 20 * STEP)
        assert part.state == found.state
    assert stand.questions() == []


def test_each_window_is_read_once() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    for _ in range(3):
        for window in (20, 50, 200):
            assert stand.read(START, START + SIZE - STEP, window).count == 50
    assert stand.questions() == ["means"] * 3


def test_series_that_have_the_same_revision_are_kept_apart() -> None:
    chosen = {(BTC, MINUTE): 1, (ETH, MINUTE): 2, (BTC, Interval.QUARTER): 3}

    class Several(RecordingMeans):
        """Each series has one row, in its block of the same number, and all have one revision."""

        def means(
            self, pair: Pair, interval: Interval, window: Window, first: int, last: int
        ) -> tuple[SeriesState, list[tuple[int, int]]]:
            row = 200 * blocks.BLOCK * interval.seconds
            return SeriesState(7, row, row, 1), [(row, chosen[pair, interval] * 10 + window)]

    store = CachedAverageStore(Several(), MemoryCache(10**9), monotonic=Clock())
    for _ in range(2):
        for (pair, interval), value in chosen.items():
            for window in (20, 50):
                first, last = blocks.bounds(interval, 200)
                found = store.read(pair, interval, window, first, last)
                assert list(rows_in(found.body).values()) == [value * 10 + window]


def test_the_revision_is_asked_for_once_per_interval_and_nothing_else_while_it_stays() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read()
    stand.questions()
    for _ in range(5):
        stand.clock.now += CHECK_EVERY
        assert stand.read().count == 50
        assert stand.read().count == 50
        assert stand.questions() == ["state"]
    stand.clock.now += CHECK_EVERY - 0.001
    stand.read()
    assert stand.questions() == []


def test_a_commit_is_seen_once_the_revision_is_asked_for_again() -> None:
    stand = Stand()
    first = stand.source.commit(WITHIN)
    stand.read()
    second = stand.source.commit(ACROSS)
    stand.clock.now += CHECK_EVERY - 0.001
    late = stand.read()
    assert (late.state.revision, rows_in(late.body)) == (first, WITHIN)
    stand.clock.now += 0.001
    found = stand.read()
    assert (found.state.revision, rows_in(found.body)) == (second, ACROSS)


def test_refresh_makes_a_commit_seen_at_once() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read()
    second = stand.source.commit(ACROSS)
    assert stand.store.refresh(BTC, MINUTE).revision == second
    assert rows_in(stand.read().body) == ACROSS


def test_a_reversed_period_is_empty_and_reads_no_rows() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    found = stand.read(START + SIZE, START)
    assert (found.count, found.body, found.state.revision) == (0, b"[]", 1)
    assert "means" not in stand.questions()


def test_a_period_outside_of_what_is_stored_reads_no_rows() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read(START, START + SIZE - STEP)
    stand.questions()
    for first, last in [(0, START - STEP), (START + SIZE, EVER), (-EVER, -STEP)]:
        found = stand.read(first, last)
        assert (found.count, found.body, found.state.revision) == (0, b"[]", 1)
    assert stand.questions() == []


def test_a_series_that_was_never_loaded_is_empty_and_asked_for_once_per_interval() -> None:
    stand = Stand()
    for _ in range(10):
        found = stand.read()
        assert (found.state, found.count, found.body) == (EMPTY_SERIES, 0, b"[]")
    assert stand.questions() == ["state"]
    stand.source.commit(WITHIN)
    stand.clock.now += CHECK_EVERY
    assert rows_in(stand.read().body) == WITHIN


def test_a_series_whose_rows_are_all_without_a_value_is_empty() -> None:
    stand = Stand()
    stand.source.commit({})
    found = stand.read()
    assert (found.state.revision, found.count, found.body) == (1, 0, b"[]")


def test_centuries_of_a_series_with_two_blocks_are_one_read_of_two_blocks() -> None:
    stand = Stand(cache=(cache := Spoilable()))
    stand.source.commit(ACROSS)
    assert rows_in(stand.read(-EVER, EVER).body) == ACROSS
    assert stand.questions() == ["state", "means"]
    assert len(cache.sets) == 2


@pytest.mark.parametrize("first", [START - 2 * STEP, START - STEP, START, START + STEP])
@pytest.mark.parametrize("last", [START - 2 * STEP, START - STEP, START, START + STEP])
def test_a_period_that_ends_at_a_block_is_whole(first: int, last: int) -> None:
    cold, warm = Stand(), Stand()
    for stand in (cold, warm):
        stand.source.commit(ACROSS)
    warm.read()
    for stand in (cold, warm):
        assert rows_in(stand.read(first, last).body) == between(ACROSS, first, last)


def test_a_series_that_grows_into_its_next_block_while_it_is_read_is_whole() -> None:
    stand = Stand()
    before = minutes(START - 30 * STEP, 30)
    stand.source.commit(before)
    assert stand.read().count == 30
    stand.source.commit(ACROSS)
    stand.clock.now += CHECK_EVERY - 0.001
    # The old revision's blocks are gone: what is read anew has one block more than was looked for.
    stand.store._cache = Spoilable()
    assert rows_in(stand.read().body) == ACROSS


def test_a_spoilt_entry_is_read_anew() -> None:
    stand = Stand(cache=(cache := Spoilable()))
    stand.source.commit(ACROSS)
    stand.read()
    whole = dict(cache.entries)
    one, other = whole
    for spoilt in (b"", b"garbage", whole[one][:-1], whole[other], whole[one] + b"\0"):
        stand.questions()
        cache.entries = {**whole, one: spoilt}
        assert rows_in(stand.read().body) == ACROSS
        assert stand.questions() == ["means"]
        assert cache.entries == whole


def test_without_a_cache_that_keeps_anything_every_read_is_right() -> None:
    stand = Stand(cache=Spoilable(keeps=False))
    stand.source.commit(ACROSS)
    for _ in range(3):
        assert rows_in(stand.read().body) == ACROSS
    assert stand.questions() == ["state", "means", "means", "means"]


def test_trouble_with_the_source_is_told_and_over_once_it_is_over() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.source.error = StoreUnavailable("gone")
    with pytest.raises(StoreUnavailable, match="gone"):
        stand.read()
    with pytest.raises(StoreUnavailable, match="gone"):
        stand.store.state(BTC, MINUTE)
    stand.source.error = None
    assert stand.read().count == 50


def test_what_is_cached_is_served_while_its_revision_is_believed_even_without_the_source() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read()
    stand.source.error = StoreUnavailable("gone")
    assert stand.read().count == 50


PERIODS = {
    "one period": [(START, START + SIZE - STEP)],
    "many periods": [(START + 90 * STEP + n * STEP, START + 160 * STEP) for n in range(50)],
    "periods of other blocks, too": [
        (START - n * SIZE, START + SIZE - STEP + (n % 2) * SIZE) for n in range(4)
    ],
    "all there is": [(-EVER, EVER)],
}


@pytest.mark.parametrize("periods", PERIODS)
def test_five_hundred_cold_reads_at_once_are_one_read_of_rows(periods: str) -> None:
    readers = 500
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.source.held = True
    start = threading.Barrier(readers)

    def read(number: int) -> tuple[tuple[int, int], AverageSlice]:
        period = PERIODS[periods][number % len(PERIODS[periods])]
        start.wait(timeout=20)
        return period, stand.read(*period)

    with ThreadPoolExecutor(readers) as pool:
        reading = [pool.submit(read, number) for number in range(readers)]
        until(lambda: waiting_in(Future.result) + stand.source.waiting == readers)
        stand.source.let_go()
        for future in reading:
            (first, last), found = future.result(timeout=20)
            assert rows_in(found.body) == between(WITHIN, first, last)
    assert stand.questions().count("means") == 1


def test_many_reads_at_once_ask_for_the_revision_once() -> None:
    readers = 100
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read()
    stand.questions()
    stand.clock.now += CHECK_EVERY
    stand.source.held = True
    with ThreadPoolExecutor(readers) as pool:
        reading = [pool.submit(stand.read) for _ in range(readers)]
        until(lambda: waiting_in(Future.result) + stand.source.waiting == readers)
        stand.source.let_go()
        assert {future.result(timeout=20).count for future in reading} == {50}
    assert stand.questions() == ["state"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("period", [(0, EVER), (START - SIZE, START + SIZE - STEP)])
def test_a_slow_answer_is_not_given_to_who_came_after_a_commit(
    known: bool, period: tuple[int, int]
) -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    if known:
        stand.read()
        stand.clock.now += CHECK_EVERY
    stand.source.held = True
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(stand.read, *period)
        until(lambda: stand.source.waiting == 1)
        second = stand.source.commit(ACROSS)
        stand.clock.now += CHECK_EVERY + 0.5
        late = pool.submit(stand.read, *period)
        until(lambda: waiting_in(Future.result) == 1 or stand.source.waiting == 2)
        stand.source.let_go()
        assert rows_in(early.result(timeout=20).body) in (WITHIN, ACROSS)
        found = late.result(timeout=20)
    assert (found.state.revision, rows_in(found.body)) == (second, ACROSS)


def test_who_has_been_told_of_a_commit_is_not_shown_what_was_before_it() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    period = (START, START + SIZE - STEP)
    stand.source.held = True
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(stand.read, *period)
        until(lambda: stand.source.waiting == 1)
        second = stand.source.commit(ACROSS)
        stand.clock.now += 0.01
        stand.source.held = False
        assert stand.store.refresh(BTC, MINUTE).revision == second
        late = pool.submit(stand.read, *period)
        until(lambda: waiting_in(Future.result) == 1 or late.done())
        stand.source.let_go()
        early.result(timeout=20)
        found = late.result(timeout=20)
    assert (found.state.revision, rows_in(found.body)) == (second, between(ACROSS, *period))
    # The late answer to the early question has not replaced what is known since.
    assert stand.store.state(BTC, MINUTE).revision == second
    assert stand.read(*period).state.revision == second


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_a_read_is_one_committed_state_and_no_older_than_it_may_be(
    seed: int,
) -> None:
    chance = random.Random(seed)
    cache = Spoilable()
    stand = Stand(cache=cache)
    committed: list[tuple[float, Rows]] = [(stand.clock.now, {})]

    def commit() -> None:
        rows = dict(committed[-1][1])
        newest = max(rows, default=START - 40 * STEP)
        for number in range(chance.randrange(1, 30)):
            rows[newest + (number + 1) * STEP * chance.randrange(1, 4)] = chance.randrange(10**12)
        for bucket in chance.sample(sorted(rows), min(3, len(rows))):
            rows[bucket] = chance.randrange(10**12)
        stand.source.commit(rows)
        committed.append((stand.clock.now, stand.source.rows))

    def spoil() -> None:
        for key in chance.sample(sorted(cache.entries), len(cache.entries) // 2):
            if chance.random() < 0.5:
                del cache.entries[key]
            else:
                cache.entries[key] = chance.choice(
                    [
                        b"garbage",
                        cache.entries[key][: chance.randrange(40)],
                        b"",
                        *cache.entries.values(),
                    ]
                )

    def read() -> None:
        first = START + chance.randrange(-60, 400) * STEP
        last = chance.choice([first + chance.randrange(-20, 200) * STEP, EVER])
        found = stand.read(first, last, chance.choice([20, 50]))
        revision = found.state.revision
        assert rows_in(found.body) == between(committed[revision][1], first, last)
        assert found.count == len(rows_in(found.body))
        if revision + 1 < len(committed):
            assert stand.clock.now - committed[revision + 1][0] < CHECK_EVERY

    for _ in range(300):
        step = chance.random()
        if step < 0.1:
            commit()
        elif step < 0.2:
            spoil()
        elif step < 0.4:
            stand.clock.now += chance.choice([0.01, 0.2, CHECK_EVERY])
        else:
            read()
