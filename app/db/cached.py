"""The cache in front of the averages: rendered blocks at their revision, read once from the database.

The revision is in every key, so a block is never out of date: a load makes a new revision, and the
blocks of the old one age out unread. What can be late is only the knowledge of the newest revision; it
is asked for at most every `CHECK_EVERY` seconds, in one small query for all who wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final, Protocol

from app.core.market import AverageSlice, Interval, Pair, SeriesState, Window
from app.core.ports import Cache
from app.db.single_flight import SingleFlight
from app.utils import blocks
from app.utils.blocks import BLOCK, Block

CHECK_EVERY: Final = 0.5
"""Seconds for which a series' revision is believed."""

_MOST_BLOCKS_UNSEEN: Final = 4
"""Blocks that are read of a series whose extent is not known yet; beyond, the extent is asked first."""


class MeansSource(Protocol):
    """Where averages come from when they are not cached."""

    def state(self, pair: Pair, interval: Interval) -> SeriesState:
        """What is known of the series."""
        ...

    def means(
        self, pair: Pair, interval: Interval, window: Window, first: int, last: int
    ) -> tuple[SeriesState, Sequence[tuple[int, int]]]:
        """The (bucket, average in 1e-8) in [first, last], ascending, and their state, in one read."""
        ...


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
        self._known: dict[tuple[Pair, Interval], tuple[float, SeriesState]] = {}

    def state(self, pair: Pair, interval: Interval) -> SeriesState:
        """What is known of the series, at most `check_every` seconds old."""
        known = self._known.get((pair, interval))
        if known is not None and self._monotonic() - known[0] < self._check_every:
            return known[1]
        return self._flights.do((pair, interval), lambda: self._ask(pair, interval))

    def read(
        self, pair: Pair, interval: Interval, window: Window, first: int, last: int
    ) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""
        if last < first:
            return AverageSlice(self.state(pair, interval), 0, b"[]")
        wanted = blocks.numbers(interval, first, last)
        if (pair, interval) in self._known or len(wanted) > _MOST_BLOCKS_UNSEEN:
            state = self.state(pair, interval)
            wanted = _extent(state, interval, first, last)
            found = self._cached(pair, interval, window, wanted, state)
        else:
            # Nothing is known in this process yet: one query brings the state and the rows.
            found = None
        if found is None:
            state, found = self._load(pair, interval, window, wanted)
            if not set(_extent(state, interval, first, last)) <= set(wanted):
                # A load has just committed the first bucket of the next block.
                return self.read(pair, interval, window, first, last)
        count, body = blocks.join([block.slice(first, last) for block in found])
        return AverageSlice(state, count, body)

    def refresh(self, pair: Pair, interval: Interval) -> SeriesState:
        """Ask for the newest revision now, whatever is believed."""
        return self._ask(pair, interval)

    def _ask(self, pair: Pair, interval: Interval) -> SeriesState:
        asked_at = self._monotonic()
        state = self._source.state(pair, interval)
        self._learn(pair, interval, asked_at, state)
        return state

    def _learn(self, pair: Pair, interval: Interval, asked_at: float, state: SeriesState) -> None:
        # Two questions may overlap; the one that was asked later knows better.
        known = self._known.get((pair, interval))
        if known is None or known[0] <= asked_at:
            self._known[pair, interval] = (asked_at, state)

    def _cached(
        self, pair: Pair, interval: Interval, window: Window, wanted: range, state: SeriesState
    ) -> list[Block] | None:
        """All the wanted blocks at the state's revision, None where one of them is not cached."""
        found = []
        for number in wanted:
            key = _key(pair, interval, window, state.revision, number)
            packed = self._cache.get(key)
            block = blocks.unpack(key, packed) if packed is not None else None
            if block is None:
                return None
            found.append(block)
        return found

    def _load(
        self, pair: Pair, interval: Interval, window: Window, wanted: range
    ) -> tuple[SeriesState, list[Block]]:
        """The wanted blocks from the source, in one query however many ask at once."""

        def load() -> tuple[SeriesState, list[Block]]:
            # Another caller may have finished between our look and our turn.
            known = self._known.get((pair, interval))
            if known is not None and self._monotonic() - known[0] < self._check_every:
                cached = self._cached(pair, interval, window, wanted, known[1])
                if cached is not None:
                    return known[1], cached
            return self._fetch(pair, interval, window, wanted)

        return self._flights.do((pair, interval, window, wanted), load)

    def _fetch(
        self, pair: Pair, interval: Interval, window: Window, wanted: range
    ) -> tuple[SeriesState, list[Block]]:
        asked_at = self._monotonic()
        if wanted:
            first, last = (
                blocks.bounds(interval, wanted[0])[0],
                blocks.bounds(interval, wanted[-1])[1],
            )
            state, rows = self._source.means(pair, interval, window, first, last)
        else:
            state, rows = self._source.state(pair, interval), ()
        self._learn(pair, interval, asked_at, state)
        size = BLOCK * interval.seconds
        by_number = {n: list(run) for n, run in groupby(rows, lambda row: row[0] // size)}
        found = []
        for number in wanted:
            block = blocks.render(by_number.get(number, ()))
            key = _key(pair, interval, window, state.revision, number)
            self._cache.set(key, blocks.pack(key, block))
            found.append(block)
        return state, found


def _extent(state: SeriesState, interval: Interval, first: int, last: int) -> range:
    """The numbers of the blocks in which [first, last] can hold anything."""
    if state.first is None or state.last is None:
        return range(0)
    first, last = max(first, state.first), min(last, state.last)
    return blocks.numbers(interval, first, last) if first <= last else range(0)


def _key(pair: Pair, interval: Interval, window: Window, revision: int, number: int) -> str:
    return f"mms:1:{pair.symbol}:{interval.value}:{window}:{revision}:{number}"
