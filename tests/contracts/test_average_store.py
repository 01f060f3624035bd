"""One contract for each source of averages: the tables, the memory, or a cache before them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count

import pytest

from app.core.market import (
    EMPTY_SERIES,
    MAX_PRICE,
    WINDOWS,
    AverageRow,
    AverageSlice,
    Candle,
    Interval,
    Pair,
    Series,
)
from app.core.ports import AverageStore, Cache, SeriesStore
from app.db import schema
from app.db.cache.averages import CHECK_EVERY, CachedAverageStore, block_memory
from app.db.cache.blocks import BLOCK
from app.db.cache.memcached import MemcachedRing
from app.db.database import open_engine
from app.db.stores.series import SqlSeriesStore
from app.testing.series import MemorySeriesStore
from tests.support.cached import Clock
from tests.support.means import body_of, rows_in
from tests.support.memcached import Memcached
from tests.support.postgres import Postgres

MINUTE = Interval.MINUTE
STEP = MINUTE.seconds
SIZE = BLOCK * STEP
BOUND = 3_400 * SIZE
"""Where one block of minutes ends and the next begins."""
FAR = 2**45
NOW = 1_711_670_400.0

_numbers = count(1)

Averages = Mapping[int, tuple[int | None, ...]]
"""Bucket → averages in 1e-8, in the order of WINDOWS."""

ALONE = {"stand": ["memory", "sqlite", "sqlite behind memory"]}
SERVICES = {
    "stand": [
        "postgres",
        "postgres behind memcached",
        "sqlite behind memory behind memcached",
    ]
}


@dataclass
class Stand:
    """Where averages are written, and one or several places to read them from."""

    written: SeriesStore
    make: Callable[[], AverageStore]
    series: Series
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.store = self.make()

    def commit(self, averages: Averages, series: Series | None = None) -> int:
        """Write in one unit and return the revision."""
        with self.written.begin(series or self.series) as unit:
            unit.put_candles([Candle(bucket, 2, 3, 1, 2, 0) for bucket in sorted(averages)])
            unit.put_averages([AverageRow(b, averages[b]) for b in sorted(averages)])
            return unit.finish(changed=True, now=NOW)

    def later(self) -> None:
        """Let so much time pass that every commit so far must be seen."""
        self.clock.now += CHECK_EVERY

    def read(self, window: int, first: int, last: int) -> AverageSlice:
        return self.store.read(self.series, window, first, last)


@dataclass
class Stores:
    """The stores that have been needed so far, by kind of database."""

    by_kind: dict[str, SqlSeriesStore] = field(default_factory=dict)
    closing: ExitStack = field(default_factory=ExitStack)


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    """One database of each kind for all tests, made when it is first needed."""
    made = Stores()
    with made.closing:
        yield made


def _store(
    kind: str,
    stores: Stores,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> SqlSeriesStore:
    if kind not in stores.by_kind:
        if kind == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('averages') / 'mms.db'}"
        else:
            server: Postgres = request.getfixturevalue("postgres_server")
            url = server.create()
        engine = open_engine(url)
        stores.closing.callback(engine.dispose)
        schema.migrate(engine)
        stores.by_kind[kind] = SqlSeriesStore(engine)
    return stores.by_kind[kind]


@pytest.fixture
def stand(
    request: pytest.FixtureRequest, stores: Stores, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stand]:
    """Each kind of store, with a series of the test's own of which nothing is stored."""
    database, *caches = request.param.split(" behind ")
    series = Series(Pair(f"T{next(_numbers)}", "BRL"), MINUTE)
    if database == "memory":
        memory = MemorySeriesStore()
        yield Stand(memory, lambda: memory, series)
        return
    sql = _store(database, stores, request, tmp_path_factory)
    clock = Clock()
    opened: list[Cache] = []

    def cached() -> AverageStore:
        if not caches:
            return sql
        room = {} if "memory" in caches else {"capacity": 0}
        shared: Cache | None = None
        if "memcached" in caches:
            node: Memcached = request.getfixturevalue("memcached")
            shared = MemcachedRing([node.address], 3_600)
            opened.append(shared)
        return CachedAverageStore(sql, block_memory(3_600, **room), shared, monotonic=clock)

    yield Stand(sql, cached, series, clock)
    for cache in opened:
        cache.close()


def body(averages: Averages, window: int, first: int, last: int) -> bytes:
    """What a read must give."""
    column = WINDOWS.index(window)
    rows = {b: value for b in sorted(averages) if (value := averages[b][column]) is not None}
    return body_of(rows, first, last)


def series(seed: int) -> dict[int, tuple[int | None, ...]]:
    """Averages with holes, dense around a block's bound and at both ends of six blocks."""
    chance = random.Random(seed)
    buckets = {BOUND + number * STEP for number in range(-150, 150) if chance.random() < 0.8}
    for block in range(-3, 3):
        start = BOUND + block * SIZE
        buckets |= {start, start + STEP, start + SIZE - STEP}
    return {bucket: _values(chance) for bucket in sorted(buckets)}


def _values(chance: random.Random) -> tuple[int | None, ...]:
    choices = [None, 1, 10**8, MAX_PRICE, chance.randrange(1, MAX_PRICE), 35 * 10**12]
    return tuple(chance.choice(choices) for _ in WINDOWS)


def edges(averages: Averages) -> list[int]:
    """The bucket starts at which something begins or ends, and their neighbours."""
    known = sorted(averages)
    bounds = [BOUND + block * SIZE for block in range(-4, 5)]
    marks = [known[0], known[-1], known[len(known) // 2], *bounds]
    return [mark + step * STEP for mark in marks for step in (-2, -1, 0, 1)]


def test_a_series_that_was_never_loaded_is_empty(stand: Stand) -> None:
    for first, last in [(0, FAR), (FAR, 0), (BOUND, BOUND), (-FAR, FAR)]:
        assert stand.read(20, first, last) == AverageSlice(EMPTY_SERIES, 0, b"[]\n")
    assert stand.store.state(stand.series) == EMPTY_SERIES


@pytest.mark.parametrize("seed", [1, 2])
def test_any_period_is_its_part_of_the_whole(stand: Stand, seed: int) -> None:
    averages = series(seed)
    revision = stand.commit(averages)
    chance = random.Random(seed)
    marks = edges(averages)
    periods = [(chance.choice(marks), chance.choice(marks)) for _ in range(60)]
    periods += [
        (BOUND + chance.randrange(-9_000, 9_000), BOUND + chance.randrange(-9_000, 9_000))
        for _ in range(60)
    ]
    periods += [(-FAR, FAR), (0, FAR), (FAR, FAR + STEP), (-FAR, 0), (FAR, -FAR), (0, 0)]
    chance.shuffle(periods)
    for first, last in periods:
        window = chance.choice(WINDOWS)
        found = stand.read(window, first, last)
        assert found.body == body(averages, window, first, last), (window, first, last)
        assert found.count == len(rows_in(found.body))
        assert found.state.revision == revision
        assert found.state == stand.written.state(stand.series)


def test_a_commit_is_seen_in_time_and_never_in_part(stand: Stand) -> None:
    averages: dict[int, tuple[int | None, ...]] = {}
    history: dict[int, Averages] = {0: {}}
    chance = random.Random(3)
    revision = 0
    for turn in range(12):
        whole = stand.read(20, -FAR, FAR)
        assert whole.state.revision == revision
        # New buckets, which cross into the next block half way, and some that are revised.
        newest = max(averages, default=BOUND - 60 * STEP)
        averages |= {newest + (n + 1) * STEP: _values(chance) for n in range(10)}
        averages |= {bucket: _values(chance) for bucket in chance.sample(sorted(averages), 3)}
        before, revision = revision, stand.commit(averages)
        assert revision > before
        history[revision] = dict(averages)
        for window in WINDOWS:
            early = stand.read(window, -FAR, FAR)
            assert early.state.revision in (before, revision)
            assert early.body == body(history[early.state.revision], window, -FAR, FAR)
        stand.later()
        for window in WINDOWS:
            found = stand.read(window, BOUND - 5 * STEP, FAR)
            assert found.state == stand.written.state(stand.series)
            assert found.body == body(averages, window, BOUND - 5 * STEP, FAR)
        assert stand.store.state(stand.series) == stand.written.state(stand.series), turn


def test_pairs_and_intervals_do_not_see_each_other(stand: Stand) -> None:
    one = stand.series.pair
    other = Pair(f"{one.base}X", "BRL")
    bucket = BLOCK * 10 * Interval.DAY.seconds
    each = [Series(pair, interval) for interval in (MINUTE, Interval.DAY) for pair in (one, other)]
    averages_of = {
        series: {bucket: (number + 1, number + 10, number + 20)}
        for number, series in enumerate(each)
    }
    for series, averages in averages_of.items():
        stand.commit(averages, series)
    for _ in range(2):
        for series, averages in averages_of.items():
            for window in WINDOWS:
                found = stand.store.read(series, window, 0, FAR)
                assert found.body == body(averages, window, 0, FAR)
