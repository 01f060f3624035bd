"""Inspect a series: which buckets are missing and why, and how fresh the rest is."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from typing import Final

from app.core.market import (
    DAY,
    WARM_UP,
    Absent,
    Interval,
    QuarantinedCandle,
    Series,
    SeriesState,
    SeriesVersion,
)
from app.core.ports import SeriesStore
from app.domain.candles import UNCERTAIN
from app.domain.gaps import Span, contradictions, doubtful, missing, spans_of
from app.domain.times import served_period, warmed_up

CONFIRMED_AFTER: Final = DAY
"""Seconds between two requests that both found no candle, after which the absence is confirmed."""

LONGEST_GRACE: Final = 3_600
"""The grace period: seconds after its close in which a candle may still be on its way. An interval
shorter than this has its own length as its grace period."""

_MOST_READS: Final = 3

_STRETCH: Final = 256
"""Buckets that are counted together. A hole costs the rows of two such stretches."""

_MOST_PARTS: Final = 100
"""Parts that one statement reads; beyond, a read of all between them is cheaper."""


class Cause(Enum):
    """Why a bucket is missing. The value is the cause's name in replies."""

    NEVER_FETCHED = "never-fetched"
    """No request to the exchange has covered it yet."""

    REFUSED = "refused"
    """The exchange sent a candle that must not be used; the quarantine says why."""

    ABSENT = "absent"
    """The exchange had no candle. A request a day later can confirm that."""

    CONFIRMED = "confirmed-absent"
    """The exchange had no candle at two requests or more, a day or more apart."""

    UNREACHABLE = "unreachable"
    """A repair requested it, and the exchange did not answer."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of `count` closed buckets without a candle, from `first` to `last`.

    `warm_up`: they lie before the served period, where the first averages need them.
    """

    first: int
    last: int
    count: int
    cause: Cause
    warm_up: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """The state of one series in its served period and the warm-up before it.

    Of the `expected` closed buckets in `served`, `stored` have a candle. `gaps` names the others,
    and those missing in the warm-up, which cost served averages. `wrong_averages` are buckets that
    lack an average though its window is complete, or have one though it is not: a fault of this
    program. `age` is the seconds since the newest stored bucket ended, None if nothing is stored.
    `checked_at` is the unix time of the last load that reached the exchange, `checked_age` the
    seconds since then. `quarantined` counts the refusals on record.
    """

    series: Series
    served: Span
    expected: int
    gaps: tuple[Gap, ...]
    wrong_averages: tuple[Span, ...]
    newest: int | None
    age: int | None
    stale: bool
    checked_at: int | None
    checked_age: int | None
    quarantined: int

    @property
    def missing(self) -> int:
        """The number of served buckets without a candle."""
        return sum(gap.count for gap in self.gaps if not gap.warm_up)

    @property
    def warm_up_missing(self) -> int:
        """The number of warm-up buckets without a candle."""
        return sum(gap.count for gap in self.gaps if gap.warm_up)

    @property
    def stored(self) -> int:
        """The number of served buckets with a candle."""
        return self.expected - self.missing

    def unanswered(self) -> Inspection:
        """Return a copy whose open gaps have the cause UNREACHABLE: a repair got no answer."""
        gaps = tuple(
            gap if gap.cause is Cause.CONFIRMED else replace(gap, cause=Cause.UNREACHABLE)
            for gap in self.gaps
        )
        return replace(self, gaps=gaps)

    def complete(self, *, strict: bool = False) -> bool:
        """Return whether nothing needs doing. A confirmed absence counts only if `strict`."""
        open_gaps = [gap for gap in self.gaps if strict or gap.cause is not Cause.CONFIRMED]
        return not (open_gaps or self.wrong_averages or self.stale)


@dataclass(frozen=True, slots=True)
class Basis:
    """All that an inspection depends on, except for its ages.

    `served` is the served period, and `certain` the one whose candles no longer depend on whether
    another follows. Which of them is due follows from `version`.
    """

    series: Series
    version: SeriesVersion
    served: Span
    certain: Span
    stale: bool


def grace_of(interval: Interval) -> int:
    """Return the grace period of an interval, in seconds."""
    return min(LONGEST_GRACE, interval.seconds)


def is_stale(state: SeriesState, interval: Interval, now: float) -> bool:
    """Return whether a newer bucket has been closed for longer than the grace period.

    The newest bucket that closed before the grace period should be stored. If it is not, the series
    is stale, unless a load reached the exchange after that close and the exchange had nothing
    newer.
    """
    due = interval.last_closed(now - grace_of(interval))
    if state.last is not None and state.last >= due:
        return False
    return state.checked_at is None or state.checked_at < due + interval.seconds


def due_period(
    store: SeriesStore, series: Series, state: SeriesState, history_days: int, now: float
) -> Span:
    """Return the served period whose candles should be stored at unix time `now`.

    A candle that no other follows counts only `UNCERTAIN` seconds after its end. Until a load
    brings it, or learns that there is none, the period is the one before it. Raises StoreError.
    """
    served = served_period(series.interval, history_days, now)
    if state.last is None or state.last >= served.last:
        return served
    before = served_period(series.interval, history_days, now - UNCERTAIN)
    certain = store.absences(series, before.last + series.step, served.last)
    return served if certain else before


def inspect(store: SeriesStore, series: Series, history_days: int, now: float) -> Inspection:
    """Compare the stored candles of the served period and its warm-up with the expected ones.

    Raises StoreError.
    """
    inspection, _ = store.together(lambda one: _inspected(one, series, history_days, now))
    return inspection


class Inspector:
    """Inspect series, each once for what it depends on; the reply is then known without reading."""

    def __init__(self, store: SeriesStore, history_days: int) -> None:
        self._store = store
        self._history_days = history_days
        self._kept: dict[Series, tuple[Basis, Inspection]] = {}

    def look(self, series: Series, now: float) -> tuple[Basis, Inspection | None]:
        """Return what an inspection at unix time `now` depends on, and the one that is kept.

        Reads no rows. Raises StoreError.
        """
        basis = _basis(series, self._store.version(series), self._history_days, now)
        kept = self._kept.get(series)
        if kept is None or kept[0] != basis:
            return basis, None
        return basis, _aged(kept[1], now)

    def inspect(self, series: Series, now: float) -> tuple[Basis | None, Inspection]:
        """Inspect the series unless that is kept; see `inspect`.

        Returns what it depends on as well, None where that has changed during the reads.
        """
        basis, inspection = self.look(series, now)
        if inspection is not None:
            return basis, inspection
        inspection, version = self._store.together(
            lambda one: _inspected(one, series, self._history_days, now)
        )
        if version is None:
            return None, inspection
        basis = _basis(series, version, self._history_days, now)
        self._kept[series] = basis, inspection
        return basis, inspection


def _basis(series: Series, version: SeriesVersion, history_days: int, now: float) -> Basis:
    interval = series.interval
    return Basis(
        series,
        version,
        served_period(interval, history_days, now),
        served_period(interval, history_days, now - UNCERTAIN),
        is_stale(version.state, interval, now),
    )


def _aged(inspection: Inspection, now: float) -> Inspection:
    """Return the inspection with its ages at unix time `now`."""
    newest, checked_at = inspection.newest, inspection.checked_at
    return replace(
        inspection,
        age=None if newest is None else int(now) - (newest + inspection.series.step),
        checked_age=None if checked_at is None else int(now) - checked_at,
    )


def _inspected(
    store: SeriesStore, series: Series, history_days: int, now: float
) -> tuple[Inspection, SeriesVersion | None]:
    """Inspect the series, and return its version; read again if that has changed meanwhile.

    If loads commit faster than this reads, the last read has to do, and the version is None.
    """
    for _ in range(_MOST_READS):
        version = store.version(series)
        state = version.state
        served = due_period(store, series, state, history_days, now)
        period = warmed_up(served, series.interval)
        holes, wrong = survey(store, series, period)
        absent = store.absences(series, *period) if holes else []
        refused = store.quarantined(series, *period, notes=False)
        unchanged = store.version(series) == version
        if unchanged:
            break
    inspection = Inspection(
        series,
        served,
        expected=series.interval.count(*served),
        gaps=tuple(explain(holes, absent, refused, series.step, served.first)),
        wrong_averages=tuple(spans_of(wrong, series.step)),
        newest=state.last,
        age=None,
        stale=is_stale(state, series.interval, now),
        checked_at=state.checked_at,
        checked_age=None,
        quarantined=len(refused),
    )
    return _aged(inspection, now), version if unchanged else None


def survey(store: SeriesStore, series: Series, period: Span) -> tuple[list[Span], list[int]]:
    """Return the holes of a period, and its buckets whose averages contradict the candles.

    Counts show where either may be; only there are the rows read. Raises StoreError.
    """
    counts = store.stretches(series, *period, _STRETCH)
    parts = doubtful(period, series.step, _STRETCH, counts)
    if len(parts) > _MOST_PARTS:
        parts = [Span(parts[0].first, parts[-1].last)]
    before = WARM_UP * series.step
    candles = store.buckets(series, [(first - before, last) for first, last in parts])
    averaged = store.averaged(series, parts)
    holes, wrong = [], []
    for first, last in parts:
        near = candles[bisect_left(candles, first - before) : bisect_right(candles, last)]
        rows = averaged[bisect_left(averaged, (first, 0)) : bisect_left(averaged, (last + 1, 0))]
        holes += missing(first, last, series.step, near)
        wrong += contradictions(first, series.step, near, rows)
    return holes, wrong


def explain(
    holes: Iterable[Span],
    absent: Iterable[Absent],
    refused: Iterable[QuarantinedCandle],
    step: int,
    served_from: int,
) -> list[Gap]:
    """Return the holes as gaps, split where the cause changes or the served period begins."""
    causes = {item.bucket: Cause.REFUSED for item in refused if item.bucket is not None}
    causes |= {item.bucket: _cause(item) for item in absent}
    gaps = []
    for hole in holes:
        buckets = range(hole.first, hole.last + 1, step)
        for (cause, warm_up), run in groupby(
            buckets, lambda b: (causes.get(b, Cause.NEVER_FETCHED), b < served_from)
        ):
            part = list(run)
            gaps.append(Gap(part[0], part[-1], len(part), cause, warm_up))
    return gaps


def _cause(absent: Absent) -> Cause:
    apart = absent.last_asked_at - absent.first_asked_at
    return Cause.CONFIRMED if apart >= CONFIRMED_AFTER else Cause.ABSENT
