"""Candles and averages in memory: the reference for the tests of the database's stores.

It ships with the package for tests and demonstrations; nothing outlives the process.
"""

from __future__ import annotations

import secrets
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from app.core.market import (
    WINDOWS,
    Absent,
    AverageRow,
    AverageSlice,
    Candle,
    CandleRevision,
    Mark,
    QuarantinedCandle,
    RefusedCandle,
    Series,
    SeriesState,
    SeriesVersion,
    VolumeNote,
    Window,
)
from app.core.ports import SeriesStore, SeriesUnit
from app.domain import rendering
from app.domain.revisions import SALT_BITS, next_revision

Result = TypeVar("Result")

_NO_AVERAGES: Final = (None,) * len(WINDOWS)
_EVERY: Final = (1 << len(WINDOWS)) - 1


@dataclass(slots=True)
class _Stored:
    """One state of a series. A commit replaces the object and never changes it."""

    revision: int = 0
    checked_at: int | None = None
    first_tried_at: int | None = None
    candles: dict[int, Candle] = field(default_factory=dict)
    averages: dict[int, AverageRow] = field(default_factory=dict)
    absent: dict[int, Absent] = field(default_factory=dict)
    quarantine: dict[tuple[int, str], QuarantinedCandle] = field(default_factory=dict)
    revised: tuple[CandleRevision, ...] = ()
    buckets: tuple[int, ...] = ()

    def copy(self) -> _Stored:
        """Copy the state, for changes."""
        return replace(
            self,
            candles=dict(self.candles),
            averages=dict(self.averages),
            absent=dict(self.absent),
            quarantine=dict(self.quarantine),
        )

    @property
    def state(self) -> SeriesState:
        first, last = (self.buckets[0], self.buckets[-1]) if self.buckets else (None, None)
        return SeriesState(self.revision, first, last, self.checked_at, self.first_tried_at)

    def within(self, first: int, last: int) -> tuple[int, ...]:
        """The buckets in [first, last] that have a candle, ascending."""
        return _between(self.buckets, first, last)


def _between(buckets: tuple[int, ...], first: int, last: int) -> tuple[int, ...]:
    return buckets[bisect_left(buckets, first) : bisect_right(buckets, last)]


class MemorySeriesStore:
    """SeriesStore and AverageStore without a database. Safe to share between threads.

    Writers of one series wait for each other. Readers never wait: they see the last commit whole.
    """

    def __init__(self) -> None:
        self._series: dict[Series, _Stored] = {}
        self._writing: dict[Series, threading.Lock] = {}
        self._guard = threading.Lock()

    @contextmanager
    def begin(self, series: Series) -> Iterator[SeriesUnit]:
        """Open one transaction on one series: committed at the end, undone on any error."""
        with self._guard:
            lock = self._writing.setdefault(series, threading.Lock())
        with lock:
            stored = self._committed(series).copy()
            yield MemorySeriesUnit(stored)
            stored.buckets = tuple(sorted(stored.candles))
            self._series[series] = stored

    def note_first_try(self, series: Series, now: float) -> None:
        """Keep that the first load begins at unix time `now`, unless one was noted or ended."""
        with self._guard:
            lock = self._writing.setdefault(series, threading.Lock())
        with lock:
            stored = self._committed(series)
            if stored.first_tried_at is None and stored.checked_at is None:
                self._series[series] = replace(stored, first_tried_at=int(now))

    def together(self, ask: Callable[[SeriesStore], Result]) -> Result:
        """Call `ask` with this store; return its result. See SeriesStore.together."""
        return ask(self)

    def state(self, series: Series) -> SeriesState:
        """The state of the series; EMPTY_SERIES before its first load."""
        return self._committed(series).state

    def marks(self) -> dict[tuple[str, str], Mark]:
        """The mark of every stored series, by pair (`BTC-BRL`) and interval."""
        return {
            (series.pair.symbol, series.interval.value): Mark(stored.revision, stored.checked_at)
            for series, stored in dict(self._series).items()
        }

    def version(self, series: Series) -> SeriesVersion:
        """The state of the series and of the records beside it."""
        stored = self._committed(series)
        absent = [item.last_asked_at for item in stored.absent.values()]
        refused = [item.last_seen_at for item in stored.quarantine.values()]
        return SeriesVersion(stored.state, (len(absent), sum(absent)), (len(refused), sum(refused)))

    def buckets(self, series: Series, spans: Sequence[tuple[int, int]]) -> list[int]:
        """The buckets that have a candle in any [first, last] of `spans`, ascending."""
        stored = self._committed(series)
        return [bucket for span in spans for bucket in stored.within(*span)]

    def extent(self, series: Series, first: int, last: int) -> tuple[int, int | None, int | None]:
        """How many buckets of [first, last] have a candle, and the first and last of them."""
        stored = self._committed(series).within(first, last)
        return len(stored), *((stored[0], stored[-1]) if stored else (None, None))

    def absences(self, series: Series, first: int, last: int) -> list[Absent]:
        """The buckets of [first, last] that the exchange lacked at the last request, ascending."""
        absent = self._committed(series).absent
        return [absent[bucket] for bucket in sorted(absent) if first <= bucket <= last]

    def settled(self, series: Series, first: int, last: int) -> int:
        """How many buckets of [first, last] have a candle or are noted as absent. Reads no rows."""
        stored = self._committed(series)
        return len(stored.within(first, last)) + sum(first <= b <= last for b in stored.absent)

    def stretches(self, series: Series, first: int, last: int, size: int) -> list[tuple[int, int]]:
        """The numbers of candles and of buckets with every average, in each `size` buckets."""
        averaged = [b for b, which in self.averaged(series, [(first, last)]) if which == _EVERY]
        candles, reach = self.buckets(series, [(first, last)]), size * series.step
        starts = range(first, last + 1, reach)
        pairs = [
            [bisect_left(buckets, start + reach) - bisect_left(buckets, start) for start in starts]
            for buckets in (candles, averaged)
        ]
        return list(zip(*pairs, strict=True))

    def averaged(self, series: Series, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The buckets of `spans` with a row of averages, ascending, and which it has."""
        rows = self._committed(series).averages
        buckets = tuple(sorted(rows))
        return [
            (b, sum(1 << n for n, value in enumerate(rows[b].values) if value is not None))
            for span in spans
            for b in _between(buckets, *span)
        ]

    def quarantined(
        self,
        series: Series,
        first: int,
        last: int,
        limit: int | None = None,
        *,
        notes: bool = True,
    ) -> list[QuarantinedCandle]:
        """Refusals of [first, last] and those without a bucket, and notes, last seen first."""
        candles = [
            item
            for item in self._committed(series).quarantine.values()
            if item.bucket is None or first <= item.bucket <= last
            if notes or not item.used
        ]
        candles.sort(key=lambda item: (-item.last_seen_at, -(item.bucket or 0), item.reason))
        return candles[:limit]

    def revisions(self, series: Series, limit: int) -> list[CandleRevision]:
        """Closed candles that the exchange revised, last noticed first."""
        revised = self._committed(series).revised
        return sorted(revised, key=lambda r: (-r.noticed_at, -r.old.bucket))[:limit]

    def rows(
        self,
        series: Series,
        first: int,
        last: int,
        limit: int | None = None,
        *,
        descending: bool = False,
    ) -> tuple[SeriesState, list[tuple[Candle, AverageRow]]]:
        """Candles of [first, last] with their averages, and the state they belong to."""
        stored = self._committed(series)
        rows = [
            (stored.candles[b], stored.averages.get(b) or AverageRow(b, _NO_AVERAGES))
            for b in stored.within(first, last)
        ]
        return stored.state, rows[:: -1 if descending else 1][:limit]

    def means(
        self,
        series: Series,
        window: Window,
        first: int,
        last: int,
        limit: int | None = None,
        *,
        descending: bool = False,
    ) -> tuple[SeriesState, list[tuple[int, int]]]:
        """The (bucket, average in 1e-8) of [first, last], and their state."""
        state, rows = self.rows(series, first, last, descending=descending)
        column = WINDOWS.index(window)
        means = ((row.bucket, row.values[column]) for _, row in rows)
        return state, [(bucket, mean) for bucket, mean in means if mean is not None][:limit]

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""
        state, means = self.means(series, window, first, last)
        return AverageSlice(state, len(means), rendering.averages(means))

    def _committed(self, series: Series) -> _Stored:
        return self._series.get(series, _Stored())


class MemorySeriesUnit:
    """One series inside one transaction, on a copy. `MemorySeriesStore.begin` creates it."""

    def __init__(self, stored: _Stored) -> None:
        self.state = stored.state
        self._stored = stored
        self._revised: Sequence[tuple[Candle, Candle]] = ()

    def candles(self, first: int, last: int) -> list[Candle]:
        """The stored candles of the buckets [first, last], ascending."""
        buckets = sorted(bucket for bucket in self._stored.candles if first <= bucket <= last)
        return [self._stored.candles[bucket] for bucket in buckets]

    def closes(self, first: int, last: int) -> tuple[list[int], list[int]]:
        """Buckets and closes (1e-8) stored in [first, last], ascending, as two equal columns."""
        candles = self.candles(first, last)
        return [candle.bucket for candle in candles], [candle.close for candle in candles]

    def clear(self) -> list[int]:
        """Delete all candles, averages and refused candles; returns the candles' buckets."""
        stored = self._stored
        buckets = sorted(stored.candles)
        for rows in (stored.candles, stored.averages, stored.quarantine):
            rows.clear()
        self.state = replace(self.state, first=None, last=None)
        return buckets

    def put_candles(self, candles: Sequence[Candle]) -> None:
        """Insert or replace candles; ascending and unique. Their buckets are no longer absent."""
        for candle in candles:
            self._stored.candles[candle.bucket] = candle
            self._stored.absent.pop(candle.bucket, None)

    def put_averages(self, rows: Sequence[AverageRow]) -> None:
        """Insert or replace averages; ascending and unique, each of a bucket with a candle."""
        self._stored.averages.update((row.bucket, row) for row in rows)

    def drop_orphans(self, first: int, last: int) -> int:
        """Delete the averages of [first, last] whose bucket has no candle; returns how many."""
        orphans = [
            b for b in self._stored.averages if first <= b <= last and b not in self._stored.candles
        ]
        for bucket in orphans:
            del self._stored.averages[bucket]
        return len(orphans)

    def note_absent(self, buckets: Sequence[int], asked_at: int) -> None:
        """Note that the exchange had no candle for these buckets at unix time `asked_at`."""
        for bucket in buckets:
            absence = self._stored.absent.get(bucket)
            first = asked_at if absence is None else absence.first_asked_at
            self._stored.absent[bucket] = Absent(bucket, first, asked_at)

    def quarantine(self, items: Sequence[RefusedCandle | VolumeNote], seen_at: int) -> None:
        """Keep refusals and notes of unix time `seen_at`, each reason once per bucket."""
        for item in items:
            key = (item.bucket or 0, item.reason)
            entry = self._stored.quarantine.get(key)
            first = seen_at if entry is None else entry.first_seen_at
            self._stored.quarantine[key] = QuarantinedCandle(
                item.bucket, item.reason, first, seen_at
            )

    def note_revised(self, changed: Sequence[tuple[Candle, Candle]]) -> None:
        """Keep (old, new) of revised candles, to be written with the revision of `finish`."""
        self._revised = changed

    def finish(self, *, changed: bool, now: float, checked: bool = True) -> int:
        """End the unit at unix time `now`, with a new revision where data changed; returns it."""
        stored = self._stored
        if changed:
            stored.revision = next_revision(stored.revision, now, secrets.randbits(SALT_BITS))
        stored.revised += tuple(
            CandleRevision(old, new, stored.revision, int(now)) for old, new in self._revised
        )
        if checked:
            stored.checked_at = int(now)
        return stored.revision


class MemoryLeases:
    """Leases of one holder. Holders share `table`: name → (holder, expiry in unix seconds)."""

    _guard: Final = threading.Lock()  # of all holders, whichever table they share

    def __init__(self, holder: str, table: dict[str, tuple[str, float]], seconds: float) -> None:
        self._holder = holder
        self._table = table
        self._seconds = seconds

    def take(self, name: str, now: float) -> str | None:
        """Take or renew a lease at unix time `now`; None if it is ours, else its holder."""
        with self._guard:
            holder, until = self._table.get(name, (self._holder, now))
            # A lease that ends further ahead was taken with a wrong clock.
            if holder != self._holder and now < until <= now + 2 * self._seconds:
                return holder
            self._table[name] = (self._holder, now + self._seconds)
            return None

    def release(self, name: str) -> None:
        """Give the lease back if it is ours."""
        with self._guard:
            if self._table.get(name, ("", 0.0))[0] == self._holder:
                del self._table[name]


class MemoryHostClocks:
    """HostClocks in a dictionary: host → (stamp, when it was first seen)."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[int, int]] = {}

    def seen(self, host: str, stamp: int, now: float) -> int:
        """When the host first sent the time `stamp`, at most `now`."""
        kept, seen_at = self.kept.get(host, (stamp, int(now)))
        if kept != stamp or seen_at > now:
            seen_at = int(now)
        self.kept[host] = stamp, seen_at
        return seen_at
