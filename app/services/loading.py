"""Loading: candles from an exchange into the store, with the averages they change.

One function does it for every loader. A unit of work is one pair at one interval: pages are fetched,
then one transaction writes the candles, recomputes exactly the affected averages, notes what the
exchange did not have and gives the series a new revision. A load longer than `PAGES_A_COMMIT` pages
commits on the way, each time in that same complete form, so that a stop loses little and a later run
goes on from there.

Every reply is compared with candles that are known (`app.services.comparing`), so that one at another
price scale is noticed before any of it is stored, wherever in the series it belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, TypedDict, Unpack

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

PAGES_A_COMMIT: Final = 20
"""Pages between two commits of one load: 10,000 candles, decades of daily ones."""

OnPage = Callable[[int], None]
"""Told how many buckets have just been answered. What it raises ends the load."""

Publish = Callable[[Event], None]
"""Told what has happened, after it was committed. Must not raise."""


def ignore(_told: object) -> None:
    """Listen to nothing."""


class LoadOptions(TypedDict, total=False):
    """What `load` takes by name; the loaders hand it on."""

    on_page: OnPage
    publish: Publish
    pages_a_commit: int


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


def load(
    store: SeriesStore,
    source: CandleSource,
    clock: Clock,
    series: Series,
    spans: Sequence[Span],
    *,
    on_page: OnPage = ignore,
    publish: Publish = ignore,
    pages_a_commit: int = PAGES_A_COMMIT,
) -> LoadReport:
    """Ask `source` for the closed candles of `spans` (ascending, disjoint) and store what it has.

    Where the exchange's clock turns out to be ahead of the last span's end nothing more is asked:
    say a `last` in the future to get everything up to its newest closed candle. Loading the same
    twice changes nothing the second time. Where a span holds nothing that is stored, the stored
    candles nearest to it are asked for, too.

    Raises UpstreamError, StoreError or UnrepresentablePrice; what was committed before stays. Where one
    of them says that the prices are of another scale, or that nobody can tell, what came since is in
    quarantine, and nothing of it is used.
    """
    report = LoadReport(series)
    batch: list[CandlePage] = []
    wanted = requests(store, series, spans, source.page_size, pages_a_commit)
    for number, request in enumerate(wanted, start=1):
        batch += ask(source, series, request, on_page)
        page = batch[-1]
        on_page(series.interval.count(page.first, page.last))
        if page.complete:
            break
        if number % pages_a_commit == 0:
            report += _announced(_commit(store, series, batch, clock()), publish)
            batch = []
    if batch:
        report += _announced(_commit(store, series, batch, clock()), publish)
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


REREAD: Final = 3
"""Closed buckets that an incremental load reads again, to notice that the exchange revised them."""

LOOK_AHEAD: Final = 500
"""Buckets beyond our own clock that an incremental load may ask for; the exchange's clock decides."""

LEAST_LOOK_AHEAD: Final = 2 * DAY
"""Seconds that this is at the least: a machine's clock may be hours behind, and 500 minutes are few."""


def load_initial(
    store: SeriesStore,
    source: CandleSource,
    clock: Clock,
    series: Series,
    *,
    history_days: int,
    **options: Unpack[LoadOptions],
) -> LoadReport:
    """Load what the served history lacks, then go on as `load_incremental` does. Raises as `load`."""
    lacking = to_fetch(store, series, history_days, clock())
    report = load(store, source, clock, series, lacking, **options)
    if store.state(series).last is None:
        return report  # there is nothing to go on from
    return report + load_incremental(
        store, source, clock, series, history_days=history_days, **options
    )


def load_incremental(
    store: SeriesStore,
    source: CandleSource,
    clock: Clock,
    series: Series,
    *,
    history_days: int,
    reread: int = REREAD,
    **options: Unpack[LoadOptions],
) -> LoadReport:
    """Load everything since the newest stored candle, however long ago, and re-read the last few.

    What was overlooked before it comes after it. A series with nothing stored (a pair that was just
    configured) gets its whole history. Raises as `load`.
    """
    if store.state(series).last is None:
        return load_initial(store, source, clock, series, history_days=history_days, **options)
    report = LoadReport(series)
    for spans in to_catch_up(store, series, history_days, reread, clock()):
        report += load(store, source, clock, series, spans, **options)
    return report


def to_fetch(store: SeriesStore, series: Series, history_days: int, now: float) -> list[Span]:
    """What an initial load still has to ask for, so that the whole served period has its averages.

    That is the served period and the `WARM_UP` buckets before it, less what is stored, less what the
    exchange said within the last day that it does not have.
    """
    wanted = warmed_up(served_period(series.interval, history_days, now), series.interval)
    stored = store.buckets(series, *wanted)
    absences = store.absences(series, *wanted)
    lacking = (item.bucket for item in absences if item.last_asked_at > now - DAY)
    settled = sorted(chain(stored, lacking))
    return missing(*wanted, series.step, settled)


def to_catch_up(
    store: SeriesStore,
    series: Series,
    history_days: int,
    reread: int,
    now: float,
) -> list[list[Span]]:
    """What an incremental load asks for, in the order of its parts; see `load_incremental`.

    The newest candles come first: trouble with an old bucket must not keep them away.
    """
    recent = since_last(store, series, reread, now)
    if not recent:
        return [to_fetch(store, series, history_days, now)]
    lost = overlooked(store, series, history_days, recent[0].first, now)
    return [recent, lost] if lost else [recent]


def since_last(store: SeriesStore, series: Series, reread: int, now: float) -> list[Span]:
    """What an incremental load asks for: from the last stored candle to the exchange's newest one.

    Begins `reread` buckets back, the newest stored one included, and ends beyond our own clock, in
    case the exchange's is ahead. Empty where nothing is stored: that is the initial loader's work.
    """
    newest = store.state(series).last
    if newest is None:
        return []
    first = newest - (reread - 1) * series.step
    ahead = max(LOOK_AHEAD * series.step, LEAST_LOOK_AHEAD)
    return [Span(first, max(newest, series.interval.last_closed(now)) + ahead)]


def overlooked(
    store: SeriesStore, series: Series, history_days: int, before: int, now: float
) -> list[Span]:
    """What is missing `before` a bucket, of the served period and its warm-up, and nobody asked for.

    As after HISTORY_DAYS was raised, or a candle deleted. A bucket that the exchange was asked for in
    vain, or whose candle was refused, is left to the gap monitor: else every run would ask again for
    what lies before an exchange's first candle. Any may be the one of a candle that was refused because
    its stamp could not be read, so nothing is asked for a day after such a one came.
    """
    wanted = warmed_up(served_period(series.interval, history_days, now), series.interval)
    period = Span(wanted.first, min(wanted.last, before - series.step))
    if store.settled(series, *period) == series.interval.count(*period):
        return []  # as nearly always: a count costs a tenth of reading a year of minutes
    stored = store.buckets(series, *period)
    absent = (item.bucket for item in store.absences(series, *period))
    refused = store.quarantined(series, *period)
    if any(item.bucket is None and item.last_seen_at > now - DAY for item in refused):
        return []
    placed = (item.bucket for item in refused if item.bucket is not None)
    return missing(*period, series.step, sorted(chain(stored, absent, placed)))
