"""Loading: candles from an exchange into the store, with the averages they change.

A load is a plan, and one function that carries it out. The plan says which spans are asked for and
why; every loader makes its own. A unit of work is one series: pages are fetched, then one
transaction writes the candles, recomputes exactly the affected averages, notes what the exchange did
not have and gives the series a new revision. A load longer than `PAGES_A_COMMIT` pages commits on
the way, each time in that same complete form. So a stop loses little, and a later run goes on from
there.

Every reply is compared with candles that are known (`app.services.comparing`). So one at another
price scale is noticed before any of it is stored, wherever in the series it belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain
from typing import Final

import numpy as np

from app.core.market import (
    DAY,
    WARM_UP,
    WINDOWS,
    AverageRow,
    Candle,
    CandlePage,
    RefusedCandle,
    Series,
)
from app.core.ports import CandleSource, Clock, SeriesStore, SeriesUnit
from app.domain.averages import moving_averages
from app.domain.gaps import Span, affected, missing
from app.domain.times import served_period, warmed_up
from app.events.types import (
    AveragesCalculated,
    CandleRevised,
    CandlesLoaded,
    CandlesRefused,
    Event,
)
from app.services.comparing import Answer, ask, requests

REREAD: Final = 3
"""Newest stored buckets that a load reads again, to notice that the exchange revised them."""

LOOK_AHEAD: Final = 500
"""Buckets beyond our own clock that a load may ask for; the exchange's clock decides."""

LEAST_LOOK_AHEAD: Final = 2 * DAY
"""Seconds that this is at the least: a machine's clock may be hours behind, and 500 minutes are few."""

PAGES_A_COMMIT: Final = 20
"""Pages between two commits of one load: 10,000 candles, decades of daily ones."""

OnPage = Callable[[int], None]
"""Told how many buckets have just been answered. What it raises ends the load."""

Publish = Callable[[Event], None]
"""Told what has happened, after it was committed. Must not raise."""


class Why(Enum):
    """Why a part of a plan is asked for."""

    NEWEST = "newest"
    """It leads from the newest stored candles, which are read again, to the exchange's newest."""

    MISSING = "missing"
    """It is neither stored nor settled: nobody asked for it, or it is time to ask again."""


@dataclass(frozen=True, slots=True)
class Part:
    """Spans, ascending and disjoint, that are asked for together and for one reason."""

    spans: tuple[Span, ...]
    why: Why


@dataclass(frozen=True, slots=True)
class Plan:
    """What one load asks for, part by part."""

    series: Series
    parts: tuple[Part, ...]

    @classmethod
    def of_gaps(cls, series: Series, spans: Sequence[Span]) -> Plan:
        """A plan that asks for these gaps and for nothing else."""
        return cls(series, (Part(tuple(spans), Why.MISSING),) if spans else ())

    @property
    def fills_gaps(self) -> bool:
        """Whether it asks for more than the newest candles."""
        return any(part.why is Why.MISSING for part in self.parts)

    def buckets(self, now: float) -> int:
        """How many buckets it asks for that have ended at unix time `now`."""
        interval = self.series.interval
        closed = interval.last_closed(now)
        spans = chain.from_iterable(part.spans for part in self.parts)
        return sum(interval.count(span.first, min(span.last, closed)) for span in spans)


def plan_load(
    store: SeriesStore,
    series: Series,
    now: float,
    *,
    history_days: int,
    reread: int = REREAD,
    ask_absent_again: bool = False,
) -> Plan:
    """Plan what to ask for at unix time `now`, so that the served period has all its averages.

    The newest candles come first: trouble with an old bucket must not keep them away. They begin with
    the `reread` newest stored ones, however long ago, and end beyond our own clock, in case the
    exchange's is ahead. What is missing before them, of the served period and its warm-up, comes
    second. A series with nothing stored is one part, from its first warm-up bucket to beyond our
    clock. Raises StoreError.

    Missing is what is neither stored nor settled. What the exchange did not have, or what was refused,
    is settled for good; with `ask_absent_again`, or where nothing is stored, only for a day and only
    what it did not have.
    """
    period = warmed_up(served_period(series.interval, history_days, now), series.interval)
    ahead = max(LOOK_AHEAD * series.step, LEAST_LOOK_AHEAD)
    newest = store.state(series).last
    if newest is None:
        whole = Span(period.first, period.last + ahead)
        spans = _gaps(store, series, whole, now, ask_absent_again=True)
        # What lies beyond our clock alone is no reason to ask.
        return Plan.of_gaps(series, [span for span in spans if span.first <= period.last])
    recent = Span(newest - (reread - 1) * series.step, max(newest, period.last) + ahead)
    before = Span(period.first, min(period.last, recent.first - series.step))
    spans = _gaps(store, series, before, now, ask_absent_again=ask_absent_again)
    gaps = Plan.of_gaps(series, spans).parts
    return Plan(series, (Part((recent,), Why.NEWEST), *gaps))


def _gaps(
    store: SeriesStore, series: Series, period: Span, now: float, *, ask_absent_again: bool
) -> list[Span]:
    """What is neither stored nor settled in the period; see `plan_load`.

    Absences and refused candles that are settled for good are left to the gap monitor. Else each run
    would ask again for what lies before an exchange's first candle. A refused candle whose stamp could
    not be read may be any that seems to be missing, so for a day after it there are no gaps.
    """
    if ask_absent_again:
        absences = store.absences(series, *period)
        settled = [item.bucket for item in absences if item.last_asked_at > now - DAY]
    elif store.settled(series, *period) == series.interval.count(*period):
        return []  # as nearly always: a count costs a tenth of reading a year of minutes
    else:
        refused = store.quarantined(series, *period)
        if any(item.bucket is None and item.last_seen_at > now - DAY for item in refused):
            return []
        settled = [item.bucket for item in store.absences(series, *period)]
        settled += [item.bucket for item in refused if item.bucket is not None]
    stored = store.buckets(series, *period)
    return missing(*period, series.step, sorted(chain(stored, settled)))


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What one load did to one series; counts are of buckets, one that two parts of a load ask for in both.

    `refused` holds each reason once per bucket.

    `absent` are closed buckets that were asked for and that the exchange did not have. `newest` is
    the newest stored bucket afterwards, `revision` the series' revision. `newer_refused` are refused
    candles that are newer than it, or may be: with any, the series is not current. None where nothing
    was asked for that is as new.
    """

    series: Series
    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    absent: int = 0
    averages: int = 0
    refused: tuple[RefusedCandle, ...] = ()
    revision: int = 0
    newest: int | None = None
    revisions: tuple[tuple[Candle, Candle], ...] = ()
    newer_refused: tuple[RefusedCandle, ...] | None = None

    def __add__(self, later: LoadReport) -> LoadReport:
        """This report continued by a later one of the same series."""
        return replace(
            later,
            inserted=self.inserted + later.inserted,
            revised=self.revised + later.revised,
            unchanged=self.unchanged + later.unchanged,
            absent=self.absent + later.absent,
            averages=self.averages + later.averages,
            refused=tuple(dict.fromkeys(self.refused + later.refused)),
            revisions=self.revisions + later.revisions,
            newer_refused=(
                self.newer_refused if later.newer_refused is None else later.newer_refused
            ),
        )


def ignore(_told: object) -> None:
    """Listen to nothing."""


def load(
    plan: Plan,
    store: SeriesStore,
    source: CandleSource,
    clock: Clock,
    *,
    on_page: OnPage = ignore,
    publish: Publish = ignore,
    pages_a_commit: int = PAGES_A_COMMIT,
) -> LoadReport:
    """Ask `source` for the closed candles of the plan, part by part, and store what it has.

    A part that ends in the future brings everything up to the exchange's newest closed candle, and no
    more of it is asked once that has come. Loading the same twice changes nothing the second time.
    Where a span holds nothing that is stored, the stored candles nearest to it are asked for, too.

    Raises UpstreamError, StoreError or UnrepresentablePrice; what was committed before stays. Where one
    of them says that the prices are of another scale, or that nobody can tell, what came since is in
    quarantine, and nothing of it is used.
    """
    series, report = plan.series, LoadReport(plan.series)
    for part in plan.parts:
        batch: list[CandlePage] = []
        questions = requests(store, series, part.spans, source.page_size, pages_a_commit)
        for number, request in enumerate(questions, start=1):
            batch += ask(source, series, request, on_page)
            page = batch[-1]
            on_page(series.interval.count(page.first, page.last))
            if page.complete or number == len(questions) or number % pages_a_commit == 0:
                report += _announced(_commit(store, series, batch, clock()), publish)
                batch = []
            if page.complete:
                break
    return report


def mend_averages(store: SeriesStore, clock: Clock, series: Series, buckets: Sequence[int]) -> int:
    """Recompute the averages that contain these buckets (ascending) from the stored closes.

    Averages among them whose candle is gone go as well. Returns how many rows were written or deleted.
    Raises StoreError or UnrepresentablePrice.
    """
    if not buckets:
        return 0
    with store.begin(series) as unit:
        written = _recompute(unit, series.step, buckets, unit.state.last)
        written += unit.drop_orphans(buckets[0], buckets[-1])
        unit.finish(changed=bool(written), now=clock(), checked=False)
    return written


def _announced(report: LoadReport, publish: Publish) -> LoadReport:
    """Publish what one commit did, and pass its report on."""
    series = report.series
    if report.newest is not None and (report.inserted or report.revised):
        publish(
            CandlesLoaded(series, report.inserted, report.revised, report.newest, report.revision)
        )
    if report.averages:
        publish(AveragesCalculated(series, report.averages, report.revision))
    for old, new in report.revisions:
        publish(CandleRevised(series, old.bucket, old.close, new.close, report.revision))
    if report.refused:
        publish(CandlesRefused(series, len(report.refused)))
    return report


def _commit(
    store: SeriesStore, series: Series, batch: Sequence[CandlePage], now: float
) -> LoadReport:
    """Write the pages in one transaction; compare with what is stored only once it is locked."""
    answer = Answer()
    with store.begin(series) as unit:
        for page in batch:
            answer.add(page, unit.candles(page.first, page.last), series.step)
        stored, refusal = answer.stored, answer.judged(series)
        changed = [c for _, c in sorted(answer.candles.items()) if stored.get(c.bucket) != c]
        revised = tuple((stored[c.bucket], c) for c in changed if c.bucket in stored)
        absent = answer.absent()
        unit.put_candles(changed)
        unit.note_absent(absent, int(now))
        unit.quarantine(answer.refused, int(now))
        unit.note_revised(revised)
        newest = max([c.bucket for c in changed], default=unit.state.last)
        if newest is not None and unit.state.last is not None:
            newest = max(newest, unit.state.last)
        closes = [
            c.bucket for c in changed if c.bucket not in stored or stored[c.bucket].close != c.close
        ]
        averages = _recompute(unit, series.step, closes, newest)
        newer = _newer(answer.refused, newest, batch[-1])
        checked = batch[-1].complete and refusal is None and not newer
        revision = unit.finish(changed=bool(changed), now=now, checked=checked)
    if refusal is not None:
        raise refusal
    return LoadReport(
        series,
        inserted=len(changed) - len(revised),
        revised=len(revised),
        unchanged=len(answer.candles) - len(changed),
        absent=len(absent),
        averages=averages,
        refused=tuple(answer.refused),
        revision=revision,
        newest=newest,
        revisions=revised,
        newer_refused=newer,
    )


def _newer(
    refused: Sequence[RefusedCandle], newest: int | None, page: CandlePage
) -> tuple[RefusedCandle, ...] | None:
    """The refused candles that may be of a bucket after the `newest` stored one.

    None where the last `page` does not tell: it asks for nothing newer.
    """
    if newest is not None and newest >= page.last:
        return () if page.complete else None
    return tuple(r for r in refused if r.bucket is None or newest is None or r.bucket > newest)


def _recompute(unit: SeriesUnit, step: int, changed: Sequence[int], newest: int | None) -> int:
    """Recompute the averages that may contain a changed close, from the stored closes.

    Reads and writes no more than the changed buckets and one longest window on each side. Returns
    how many rows of averages were written.
    """
    if not changed or newest is None:
        return 0
    written = 0
    for span in affected(changed, step, WINDOWS[-1], newest):
        buckets, closes = unit.closes(span.first - WARM_UP * step, span.last)
        rows = average_rows(buckets, closes, step)
        fresh = [row for row in rows if row.bucket >= span.first]
        unit.put_averages(fresh)
        written += len(fresh)
    return written


def average_rows(buckets: Sequence[int], closes: Sequence[int], step: int) -> list[AverageRow]:
    """The averages of every bucket, from ascending buckets and their closes in 1e-8."""
    values, exists = moving_averages(
        np.asarray(buckets, dtype=np.int64), np.asarray(closes, dtype=np.int64), step, WINDOWS
    )
    columns = [
        [value if there else None for value, there in zip(row, known, strict=True)]
        for row, known in zip(values.tolist(), exists.tolist(), strict=True)
    ]
    return [
        AverageRow(bucket, means)
        for bucket, means in zip(buckets, zip(*columns, strict=True), strict=True)
    ]
