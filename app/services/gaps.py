"""Inspecting a series: which buckets are missing and why, and how fresh the rest is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from typing import Final

from app.core.market import DAY, Absent, Interval, QuarantinedCandle, Series, SeriesState
from app.core.ports import SeriesStore
from app.domain.gaps import Span, missing, spans_of
from app.domain.times import served_period, warmed_up

CONFIRMED_AFTER: Final = DAY
"""Seconds that must lie between two questions for their answers to confirm an absence."""

LONGEST_GRACE: Final = 3_600
"""Seconds after a candle's close within which it may still be on its way; a shorter interval gets
its own length."""

_READINGS: Final = 3


class Cause(Enum):
    """Why a bucket is missing; the value is its name on the wire."""

    NEVER_FETCHED = "never-fetched"
    """The exchange was not asked for it yet."""

    REFUSED = "refused"
    """The exchange sent a candle that must not be used; the quarantine says why."""

    ABSENT = "absent"
    """The exchange was asked and had none; asking again a day later will confirm it."""

    CONFIRMED = "confirmed-absent"
    """The exchange was asked at least twice, a day or more apart, and had none."""

    UNREACHABLE = "unreachable"
    """A repair asked for it and got no answer."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The closed buckets from `first` to `last`, `count` of them, have no candle.

    `warm_up` says that they are none of the served ones, but of those before them that the first
    averages need.
    """

    first: int
    last: int
    count: int
    cause: Cause
    warm_up: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found of one series in its served period and the warm-up before it.

    Of the `expected` closed buckets in `served`, `stored` have a candle; `gaps` names the others, and
    those of the warm-up, whose absence removes served averages. `wrong_averages` are buckets whose
    average is absent though its window is complete, or there though it is not: a fault of this program.
    `age` is the seconds since the newest stored bucket ended, None where nothing is stored; `checked_at`
    is the last load that reached the exchange, `checked_age` the seconds since; `quarantined` counts
    the refusals on record.
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
        """How many served buckets have no candle."""
        return sum(gap.count for gap in self.gaps if not gap.warm_up)

    @property
    def warm_up_missing(self) -> int:
        """How many buckets of the warm-up have no candle."""
        return sum(gap.count for gap in self.gaps if gap.warm_up)

    @property
    def stored(self) -> int:
        """How many served buckets have one."""
        return self.expected - self.missing

    def unanswered(self) -> Inspection:
        """The same, after a repair that got no answer from the exchange."""
        gaps = tuple(
            gap if gap.cause is Cause.CONFIRMED else replace(gap, cause=Cause.UNREACHABLE)
            for gap in self.gaps
        )
        return replace(self, gaps=gaps)

    def complete(self, *, strict: bool = False) -> bool:
        """Whether nothing needs doing. Confirmed absences are no fault, unless `strict`."""
        open_gaps = [gap for gap in self.gaps if strict or gap.cause is not Cause.CONFIRMED]
        return not (open_gaps or self.wrong_averages or self.stale)


def is_stale(state: SeriesState, interval: Interval, now: float) -> bool:
    """Whether the exchange has had a newer closed bucket for longer than a grace period.

    The newest bucket that closed before the grace period should be stored. Where it is not, the
    series is stale, unless a load has asked the exchange since that close and it had nothing newer.
    """
    grace = min(LONGEST_GRACE, interval.seconds)
    due = interval.last_closed(now - grace)
    if state.last is not None and state.last >= due:
        return False
    return state.checked_at is None or state.checked_at < due + interval.seconds


def inspect(store: SeriesStore, series: Series, history_days: int, now: float) -> Inspection:
    """Compare what is stored of the served period and its warm-up with what should be.

    Raises StoreError.
    """
    step, interval = series.step, series.interval
    served = served_period(interval, history_days, now)
    watched = warmed_up(served, interval)
    state, present, absent, refused, wrong = store.together(
        lambda one: _of_one_revision(one, series, watched)
    )
    holes = missing(*watched, step, present)
    checked_at = state.checked_at
    return Inspection(
        series,
        served,
        expected=served.count(step),
        gaps=tuple(explain(holes, absent, refused, step, served.first)),
        wrong_averages=tuple(spans_of(wrong, step)),
        newest=state.last,
        age=None if state.last is None else int(now) - (state.last + step),
        stale=is_stale(state, interval, now),
        checked_at=checked_at,
        checked_age=None if checked_at is None else int(now) - checked_at,
        quarantined=len(refused),
    )


def _of_one_revision(
    store: SeriesStore, series: Series, period: Span
) -> tuple[SeriesState, list[int], list[Absent], list[QuarantinedCandle], list[int]]:
    """What is stored of the period, read again where a load has committed meanwhile.

    Under loads that commit faster than this reads, the last reading has to do.
    """
    for _ in range(_READINGS):
        found = (
            store.state(series),
            store.buckets(series, *period),
            store.absences(series, *period),
            store.quarantined(series, *period),
            store.wrong_averages(series, *period),
        )
        if store.state(series).revision == found[0].revision:
            break
    return found


def explain(
    holes: Iterable[Span],
    absent: Iterable[Absent],
    refused: Iterable[QuarantinedCandle],
    step: int,
    served_from: int,
) -> list[Gap]:
    """The holes with their causes, split where the cause changes and where the served period begins."""
    causes = {item.bucket: Cause.REFUSED for item in refused if item.bucket is not None}
    causes |= {item.bucket: _cause(item) for item in absent}
    gaps = []
    for hole in holes:
        buckets = range(hole.first, hole.last + 1, step)
        for (cause, warm_up), run in groupby(
            buckets, lambda b: (causes.get(b, Cause.NEVER_FETCHED), b < served_from)
        ):
            found = list(run)
            gaps.append(Gap(found[0], found[-1], len(found), cause, warm_up))
    return gaps


def _cause(absent: Absent) -> Cause:
    apart = absent.last_asked_at - absent.first_asked_at
    return Cause.CONFIRMED if apart >= CONFIRMED_AFTER else Cause.ABSENT
