"""The cache in front of the averages: rendered blocks, read from the database once per revision.

The revision is in every key, so a block is never out of date: a load creates a new revision, and
the blocks of the old one age out unread. Only the newest revision can be noticed late. It is
fetched at most every `CHECK_EVERY` seconds, in one small query for all waiting callers.

Blocks lie in the memory of the process, ready to be sliced, and packed in a cache that processes
share, if there is one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Final, Protocol

from app.core.market import AverageSlice, Interval, Series, SeriesState, Window
from app.core.ports import Cache
from app.db.cache import blocks
from app.db.cache.blocks import BLOCK, Block
from app.db.cache.memory import MemoryCache
from app.db.cache.single_flight import SingleFlight

CHECK_EVERY: Final = 0.5
"""Seconds for which the fetched revision of a series counts as fresh."""

HELD_FOR: Final = 2
"""A read from memory alone keeps a revision for this many times as long, while it is fetched."""

BELIEVED_AFTER: Final = 5.0
"""Seconds after which a lower revision is believed. A standby that lags shows one for a moment; a
restored backup goes on showing it."""


class MeansSource(Protocol):
    """Where averages come from when they are not cached."""

    def state(self, series: Series) -> SeriesState:
        """The state of the series."""
        ...

    def means(
        self, series: Series, window: Window, first: int, last: int
    ) -> tuple[SeriesState, Sequence[tuple[int, int]]]:
        """The (bucket, average in 1e-8) of [first, last], ascending, and their state.

        Both come from one read.
        """
        ...


_TimedState = tuple[float, SeriesState]
"""When the fetch of a state started (monotonic), and the state."""

BlockName = tuple[Series, Window, int, int]
"""The series, the window, the revision and the number of a block."""


@dataclass(frozen=True, slots=True)
class _BlockSet:
    """Blocks of one state, by number, and when their fetch started."""

    fetched_at: float
    state: SeriesState
    blocks: Mapping[int, Block]


def block_memory(ttl: float, **options: Any) -> MemoryCache[BlockName, Block]:
    """Memory for blocks, each of which stays for at most `ttl` seconds."""
    return MemoryCache(ttl, lambda block: block.size, **options)


class CachedAverageStore:
    """An AverageStore that reads `source` once per block and revision.

    It answers from `near`, then from `far`, if there is one. Its WarmAverages are those of `near`.
    """

    def __init__(
        self,
        source: MeansSource,
        near: MemoryCache[BlockName, Block],
        far: Cache | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        check_every: float = CHECK_EVERY,
    ) -> None:
        self._source = source
        self._near = near
        self._far = far
        self._monotonic = monotonic
        self._check_every = check_every
        self._flights = SingleFlight()
        self._lock = threading.Lock()
        self._states: dict[Series, _TimedState] = {}
        self._lower_since: dict[Series, float] = {}
        self._fetching: dict[Series, float] = {}

    def state(self, series: Series) -> SeriesState:
        """The state of the series, at most `check_every` seconds old."""
        not_before = self._not_before(series)
        while True:
            entry = self._fresh(series)
            if entry is None:
                entry = self._flights.do(series, lambda: self._fetch_state(series))
            fetched_at, state = entry
            if fetched_at >= not_before:
                return state

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""
        not_before = self._not_before(series)
        of_lower: range | None = None
        while True:
            state = self.state(series)
            span = _extent(state, series.interval, first, last)
            cached = self._cached(series, window, span, state)
            if cached is not None:
                return _slice(state, cached, first, last)
            load = partial(self._load, series, window, of_lower or span)
            shared = self._flights.do((series, window), load)
            needed = _extent(shared.state, series.interval, first, last)
            # The shared result may belong to another caller: other blocks, or a fetch from before a
            # commit that we must see. A load may also just have started the next block.
            if shared.fetched_at >= not_before and all(n in shared.blocks for n in needed):
                return _slice(shared.state, [shared.blocks[n] for n in needed], first, last)
            # A lower revision, which is not believed yet, may have more blocks.
            of_lower = needed if shared.state.revision < state.revision else None

    def warm_state(self, series: Series) -> SeriesState | None:
        """The known state of the series; None where this caller has to ask with `read` or `state`.

        One caller has to once a state is no longer fresh. The others are given the old one
        meanwhile, until it is `HELD_FOR` times as old as a fresh one. Call it from one thread.
        """
        entry = self._states.get(series)
        if entry is None:
            return None
        fetched_at, state = entry
        age = self._monotonic() - fetched_at
        if age < self._check_every:
            return state
        if age < self._check_every * HELD_FOR and self._fetching.get(series) == fetched_at:
            return state
        self._fetching[series] = fetched_at
        return None

    def warm_read(
        self, series: Series, window: Window, first: int, last: int, state: SeriesState
    ) -> AverageSlice | None:
        """What `read` returns at this state, if all of it lies in memory."""
        parts = []
        for number in _extent(state, series.interval, first, last):
            block = self._near.get((series, window, state.revision, number))
            if block is None:
                return None
            parts.append(block)
        return _slice(state, parts, first, last)

    def refresh(self, series: Series) -> SeriesState:
        """Fetch the newest state now, even if the last one is still fresh."""
        return self._fetch_state(series)[1]

    def _fresh(self, series: Series) -> _TimedState | None:
        """The last fetch time and state, unless they are too old."""
        entry = self._states.get(series)
        if entry is not None and self._monotonic() - entry[0] < self._check_every:
            return entry
        return None

    def _not_before(self, series: Series) -> float:
        """Oldest acceptable fetch time for a new caller.

        That is `check_every` seconds ago, but never before a fetch whose state was already served.
        """
        oldest = self._monotonic() - self._check_every
        entry = self._states.get(series)
        return oldest if entry is None else max(oldest, entry[0])

    def _fetch_state(self, series: Series) -> _TimedState:
        fetched_at = self._monotonic()
        return fetched_at, self._remember(series, fetched_at, self._source.state(series))

    def _remember(self, series: Series, fetched_at: float, state: SeriesState) -> SeriesState:
        """Keep a fetched state as the newest, unless it must not be believed; return the newest.

        Equal states are one object.
        """
        with self._lock:
            entry = self._states.get(series)
            if entry is not None:
                newest_at, newest = entry
                if fetched_at < newest_at:
                    return newest  # Two fetches overlap; the one that started later wins.
                if state.revision < newest.revision:
                    since = self._lower_since.setdefault(series, fetched_at)
                    if fetched_at - since < BELIEVED_AFTER:
                        state = newest
                else:
                    self._lower_since.pop(series, None)
                    if state == newest:
                        state = newest
            self._states[series] = (fetched_at, state)
            return state

    def _cached(
        self, series: Series, window: Window, span: range, state: SeriesState
    ) -> list[Block] | None:
        """All the blocks at the state's revision; None where one is not cached."""
        cached = []
        for number in span:
            name = (series, window, state.revision, number)
            block = self._near.get(name) or self._from_far(name)
            if block is None:
                return None
            cached.append(block)
        return cached

    def _from_far(self, name: BlockName) -> Block | None:
        """The block from the shared cache, which then lies near, too."""
        if self._far is None:
            return None
        packed = self._far.get(_key(*name))
        if packed is None:
            return None
        block = blocks.unpack(packed)
        self._near.set(name, block)
        return block

    def _load(self, series: Series, window: Window, span: range) -> _BlockSet:
        """The blocks: from the cache if another caller has just filled it, else from the source."""
        fetched_at, state = self._states[series]
        cached = self._cached(series, window, span, state)
        if cached is not None:
            return _BlockSet(fetched_at, state, dict(zip(span, cached, strict=True)))
        return self._fetch_blocks(series, window, span)

    def _fetch_blocks(self, series: Series, window: Window, span: range) -> _BlockSet:
        """Read the blocks, at least one, from the source in one query, and cache them."""
        fetched_at = self._monotonic()
        interval = series.interval
        first, last = blocks.bounds(interval, span[0])[0], blocks.bounds(interval, span[-1])[1]
        state, rows = self._source.means(series, window, first, last)
        self._remember(series, fetched_at, state)
        size = BLOCK * interval.seconds
        by_number = {n: list(run) for n, run in groupby(rows, lambda row: row[0] // size)}
        rendered = {}
        for number in span:
            block = rendered[number] = blocks.render(by_number.get(number, ()))
            name = (series, window, state.revision, number)
            self._near.set(name, block)
            if self._far is not None:
                self._far.set(_key(*name), blocks.pack(block))
        return _BlockSet(fetched_at, state, rendered)


def _slice(state: SeriesState, parts: Sequence[Block], first: int, last: int) -> AverageSlice:
    count, body = blocks.join([block.slice(first, last) for block in parts])
    return AverageSlice(state, count, body)


def _extent(state: SeriesState, interval: Interval, first: int, last: int) -> range:
    """The numbers of the blocks of [first, last] that can hold rows."""
    if state.first is None or state.last is None:
        return range(0)
    first, last = max(first, state.first), min(last, state.last)
    return blocks.numbers(interval, first, last) if first <= last else range(0)


def _key(series: Series, window: Window, revision: int, number: int) -> str:
    """The key of a block in a shared cache."""
    name = series.pair.symbol
    return f"{blocks.FORMAT} {name} {series.interval.value} {window} {revision} {number}"
