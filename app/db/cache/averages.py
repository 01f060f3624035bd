"""The cache in front of the averages: rendered blocks at their revision, read once from the database.

The revision is in every key, so a block is never out of date: a load makes a new revision, and the
blocks of the old one age out unread. What can be late is only the knowledge of the newest revision; it
is asked for at most every `CHECK_EVERY` seconds, in one small query for all who wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Final, Protocol

from app.core.market import AverageSlice, Interval, Series, SeriesState, Window
from app.core.ports import Cache
from app.db.cache import blocks
from app.db.cache.blocks import BLOCK, Block
from app.db.cache.single_flight import SingleFlight

CHECK_EVERY: Final = 0.5
"""Seconds for which a series' revision is believed."""


class MeansSource(Protocol):
    """Where averages come from when they are not cached."""

    def state(self, series: Series) -> SeriesState:
        """What is known of the series."""
        ...

    def means(
        self, series: Series, window: Window, first: int, last: int
    ) -> tuple[SeriesState, Sequence[tuple[int, int]]]:
        """The (bucket, average in 1e-8) in [first, last], ascending, and their state, in one read."""
        ...


_Known = tuple[float, SeriesState]
"""A state and when it was asked for, which is before it was answered."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Blocks of one state, by number, and when they were asked for."""

    asked_at: float
    state: SeriesState
    blocks: Mapping[int, Block]


class CachedAverageStore:
    """An AverageStore that answers from `cache` and asks `source` once per block and revision."""

    def __init__(
        self,
        source: MeansSource,
        cache: Cache,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        check_every: float = CHECK_EVERY,
    ) -> None:
        self._source = source
        self._cache = cache
        self._monotonic = monotonic
        self._check_every = check_every
        self._flights = SingleFlight()
        self._known: dict[Series, _Known] = {}

    def state(self, series: Series) -> SeriesState:
        """The state of the series, at most `check_every` seconds old."""
        not_before = self._not_before(series)
        while True:
            entry = self._believed(series)
            if entry is None:
                entry = self._flights.do(series, lambda: self._ask(series))
            asked_at, state = entry
            if asked_at >= not_before:
                return state

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""
        not_before = self._not_before(series)
        while True:
            state = self.state(series)
            span = _extent(state, series.interval, first, last)
            cached = self._cached(series, window, span, state)
            if cached is not None:
                return _slice(state, cached, first, last)
            loaded = self._flights.do((series, window), partial(self._load, series, window, span))
            needed = _extent(loaded.state, series.interval, first, last)
            # What others asked for may be other blocks, or an answer from before a commit that we
            # should see. And a load may just have committed the first bucket of the next block.
            if loaded.asked_at >= not_before and all(n in loaded.blocks for n in needed):
                return _slice(loaded.state, [loaded.blocks[n] for n in needed], first, last)

    def refresh(self, series: Series) -> SeriesState:
        """Ask for the newest revision now, whatever is believed."""
        return self._ask(series)[1]

    def _believed(self, series: Series) -> _Known | None:
        """The cached fetch time and state, unless they are too old."""
        entry = self._known.get(series)
        if entry is not None and self._monotonic() - entry[0] < self._check_every:
            return entry
        return None

    def _not_before(self, series: Series) -> float:
        """Oldest acceptable fetch time for a new caller.

        That is `check_every` seconds ago, but never before a fetch whose state was already served.
        """
        oldest = self._monotonic() - self._check_every
        entry = self._known.get(series)
        return oldest if entry is None else max(oldest, entry[0])

    def _ask(self, series: Series) -> _Known:
        asked_at = self._monotonic()
        state = self._source.state(series)
        self._learn(series, asked_at, state)
        return asked_at, state

    def _learn(self, series: Series, asked_at: float, state: SeriesState) -> None:
        # Two fetches may overlap; the one that started later wins.
        entry = self._known.get(series)
        if entry is None or entry[0] <= asked_at:
            self._known[series] = (asked_at, state)

    def _cached(
        self, series: Series, window: Window, span: range, state: SeriesState
    ) -> list[Block] | None:
        """All the blocks at the state's revision, None where one is not cached."""
        cached = []
        for number in span:
            key = _key(series, window, state.revision, number)
            packed = self._cache.get(key)
            block = blocks.unpack(key, packed) if packed is not None else None
            if block is None:
                return None
            cached.append(block)
        return cached

    def _load(self, series: Series, window: Window, span: range) -> _Loaded:
        """The blocks, from the source unless another caller finished before our turn."""
        asked_at, state = self._known[series]
        cached = self._cached(series, window, span, state)
        if cached is not None:
            return _Loaded(asked_at, state, dict(zip(span, cached, strict=True)))
        return self._fetch(series, window, span)

    def _fetch(self, series: Series, window: Window, span: range) -> _Loaded:
        """The blocks, at least one, from the source, in one query."""
        asked_at = self._monotonic()
        interval = series.interval
        first, last = blocks.bounds(interval, span[0])[0], blocks.bounds(interval, span[-1])[1]
        state, rows = self._source.means(series, window, first, last)
        self._learn(series, asked_at, state)
        size = BLOCK * interval.seconds
        by_number = {n: list(run) for n, run in groupby(rows, lambda row: row[0] // size)}
        rendered = {}
        for number in span:
            block = rendered[number] = blocks.render(by_number.get(number, ()))
            key = _key(series, window, state.revision, number)
            self._cache.set(key, blocks.pack(key, block))
        return _Loaded(asked_at, state, rendered)


def _slice(state: SeriesState, parts: Sequence[Block], first: int, last: int) -> AverageSlice:
    count, body = blocks.join([block.slice(first, last) for block in parts])
    return AverageSlice(state, count, body)


def _extent(state: SeriesState, interval: Interval, first: int, last: int) -> range:
    """The numbers of the blocks in which [first, last] can hold anything."""
    if state.first is None or state.last is None:
        return range(0)
    first, last = max(first, state.first), min(last, state.last)
    return blocks.numbers(interval, first, last) if first <= last else range(0)


def _key(series: Series, window: Window, revision: int, number: int) -> str:
    return f"mms:1:{series.pair.symbol}:{series.interval.value}:{window}:{revision}:{number}"
