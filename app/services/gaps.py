"""Inspect a series: which buckets are missing and why, and how fresh the rest is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from typing import Final

from app.core.market import DAY, Absent, Interval, QuarantinedCandle, Series, SeriesState
from app.core.ports import SeriesStore
from app.domain.candles import UNCERTAIN
from app.domain.gaps import Span, missing, spans_of
from app.domain.times import served_period, warmed_up

CONFIRMED_AFTER: Final = DAY
"""Seconds between two requests that both found no candle, after which the absence is confirmed."""

LONGEST_GRACE: Final = 3_600
"""The grace period: seconds after its close in which a candle may still be on its way. An interval
shorter than this has its own length as its grace period."""

_MOST_READS: Final = 3


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
    step, interval = series.step, series.interval
    served, (state, present, absent, refused, wrong) = store.together(
        lambda one: _at_one_revision(one, series, history_days, now)
    )
    watched = warmed_up(served, interval)
    holes = missing(*watched, step, present)
    checked_at = state.checked_at
    return Inspection(
        series,
        served,
        expected=interval.count(*served),
        gaps=tuple(explain(holes, absent, refused, step, served.first)),
        wrong_averages=tuple(spans_of(wrong, step)),
        newest=state.last,
        age=None if state.last is None else int(now) - (state.last + step),
        stale=is_stale(state, interval, now),
        checked_at=checked_at,
        checked_age=None if checked_at is None else int(now) - checked_at,
        quarantined=len(refused),
    )


def _at_one_revision(
    store: SeriesStore, series: Series, history_days: int, now: float
) -> tuple[Span, tuple[SeriesState, list[int], list[Absent], list[QuarantinedCandle], list[int]]]:
    """Read the due period, and what is stored of it; read again if a load has committed meanwhile.

    If loads commit faster than this reads, the last read has to do.
    """
    for _ in range(_MOST_READS):
        state = store.state(series)
        served = due_period(store, series, state, history_days, now)
        period = warmed_up(served, series.interval)
        records = (
            state,
            store.buckets(series, *period),
            store.absences(series, *period),
            store.quarantined(series, *period, notes=False),
            store.wrong_averages(series, *period),
        )
        if store.state(series).revision == state.revision:
            break
    return served, records


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
