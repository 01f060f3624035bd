"""Load candles from an exchange into the store, with the averages that they change.

A load is a plan, and one function that carries it out. The plan says which spans to request and
why; every loader makes its own plan. The unit of work is one series. Its pages are fetched; then
one transaction writes the candles, recomputes exactly the affected averages, records what the
exchange did not have, and gives the series a new revision. A load of more than `PAGES_A_COMMIT`
pages commits several times, each time completely. So a stop loses little, and the next run
continues from there.

Every reply is compared with stored candles (`app.services.comparing`). So a change of price scale
is noticed before any of it is stored, wherever in the series it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Final

import numpy as np

from app.core.errors import UpstreamNonsense
from app.core.how_to_run import how_to_run
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
from app.domain.gaps import Span, affected, count_within, missing, pages
from app.domain.times import iso, served_period, warmed_up
from app.events.types import (
    AveragesCalculated,
    CandleRevised,
    CandlesLoaded,
    CandlesRefused,
    Publish,
)
from app.services.comparing import COMPARED, Answer, fetch, requests

REREAD: Final = 3
"""Newest stored buckets that a load reads again, to notice revisions by the exchange."""

LOOK_AHEAD: Final = 500
"""Buckets beyond our own clock that a load may request: the exchange's clock decides."""

LEAST_LOOK_AHEAD: Final = 2 * DAY
"""Least look-ahead in seconds: a machine's clock may be hours behind, and 500 minutes are few."""

PAGES_A_COMMIT: Final = 20
"""Pages between two commits of one load: 10,000 candles, decades of daily ones."""

OnPage = Callable[[int], None]
"""Called after each page received, with the number of the plan's buckets that are done with it.

Each bucket of a plan counts once. What a request repeats for a comparison does not count. Errors
of this function end the load."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one load requests: first the newest candles, then the gaps before them.

    `newest` starts with the newest stored candles, which are read again, and reaches to the
    exchange's newest one. `gaps`, ascending and disjoint, are neither stored nor settled: never
    requested, or due to be requested again.
    """

    series: Series
    newest: Span | None = None
    gaps: tuple[Span, ...] = ()

    @property
    def parts(self) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """The spans that are requested together; either part may be empty."""
        return () if self.newest is None else (self.newest,), self.gaps

    def buckets(self, now: float) -> int:
        """Return the number of requested buckets that have ended at unix time `now`."""
        interval = self.series.interval
        closed = interval.last_closed(now)
        spans = chain.from_iterable(self.parts)
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
    """Plan the requests of a load at unix time `now`, so that the served period has all averages.

    The newest candles come first, so that trouble with an old bucket does not hold them up. This
    part starts with the `reread` newest stored candles, however old they are, and ends beyond our
    own clock, in case the exchange's is ahead. The gaps before it, in the served period and its
    warm-up, come second. A series with nothing stored is one gap, from its first warm-up bucket to
    beyond our clock. Raises StoreError.

    A bucket is missing if it is neither stored nor settled. An absent or refused bucket is settled
    for good. With `ask_absent_again`, or if nothing is stored, only an absent one is settled, and
    only for a day.
    """
    period = warmed_up(served_period(series.interval, history_days, now), series.interval)
    ahead = _ahead(series)
    newest = store.state(series).last
    if newest is None:
        whole = Span(period.first, period.last + ahead)
        spans = _gaps(store, series, whole, now, ask_absent_again=True)
        # A span that lies wholly beyond our clock is no reason for a request.
        return Plan(series, gaps=tuple(span for span in spans if span.first <= period.last))
    recent = Span(newest - (reread - 1) * series.step, max(newest, period.last) + ahead)
    before = Span(period.first, min(period.last, recent.first - series.step))
    spans = _gaps(store, series, before, now, ask_absent_again=ask_absent_again)
    return Plan(series, recent, tuple(spans))


def plan_reload(store: SeriesStore, series: Series, now: float, *, history_days: int) -> Plan:
    """Plan the requests that bring a whole series anew, at unix time `now`. Raises StoreError.

    They begin with the oldest stored candle, or with the warm-up of the served period if that is
    older.
    """
    period = warmed_up(served_period(series.interval, history_days, now), series.interval)
    oldest = store.state(series).first
    first = period.first if oldest is None else min(oldest, period.first)
    return Plan(series, gaps=(Span(first, period.last + _ahead(series)),))


def _ahead(series: Series) -> int:
    """The seconds beyond our own clock that a load requests."""
    return max(LOOK_AHEAD * series.step, LEAST_LOOK_AHEAD)


def _gaps(
    store: SeriesStore, series: Series, period: Span, now: float, *, ask_absent_again: bool
) -> list[Span]:
    """Return the spans of the period that are neither stored nor settled; see `plan_load`.

    Absences and refusals that are settled for good are left to the gap monitor. Otherwise each run
    would request again what lies before the exchange's first candle. A refused candle without a
    readable timestamp may be any of the missing ones, so for a day after it there are no gaps.
    """
    if ask_absent_again:
        absences = store.absences(series, *period)
        settled = [item.bucket for item in absences if item.last_asked_at > now - DAY]
    elif store.settled(series, *period) == series.interval.count(*period):
        return []  # the usual case: a count costs a tenth of reading a year of minutes
    else:
        refused = store.quarantined(series, *period, notes=False)
        if any(item.bucket is None and item.last_seen_at > now - DAY for item in refused):
            return []
        settled = [item.bucket for item in store.absences(series, *period)]
        settled += [item.bucket for item in refused if item.bucket is not None]
    stored = store.buckets(series, [period])
    return missing(*period, series.step, sorted(chain(stored, settled)))


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What one load did to one series.

    The counts are of buckets; a bucket that two parts of a load request counts twice. `absent`
    counts the requested closed buckets that the exchange did not have, `without_volume` the candles
    that came without a usable volume. `refused` holds each reason once per bucket. `newest` is the
    newest stored bucket after the load, `revision` the series' revision. `newer_refused` are the
    refused candles that are, or may be, newer than `newest`: if there are any, the series is not
    current. It is None if the load requested nothing that new.
    """

    series: Series
    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    absent: int = 0
    averages: int = 0
    without_volume: int = 0
    refused: tuple[RefusedCandle, ...] = ()
    revision: int = 0
    newest: int | None = None
    revisions: tuple[tuple[Candle, Candle], ...] = ()
    newer_refused: tuple[RefusedCandle, ...] | None = None

    def __add__(self, later: LoadReport) -> LoadReport:
        """Return this report, continued by a later one of the same series."""
        return replace(
            later,
            inserted=self.inserted + later.inserted,
            revised=self.revised + later.revised,
            unchanged=self.unchanged + later.unchanged,
            absent=self.absent + later.absent,
            averages=self.averages + later.averages,
            without_volume=self.without_volume + later.without_volume,
            refused=tuple(dict.fromkeys(self.refused + later.refused)),
            revisions=self.revisions + later.revisions,
            newer_refused=(
                self.newer_refused if later.newer_refused is None else later.newer_refused
            ),
        )


def ignore(_item: object) -> None:
    """Do nothing: the default listener."""


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
    """Fetch the closed candles of the plan from `source`, part by part, and store them.

    A part that ends in the future is fetched up to the exchange's newest closed candle; its
    requests stop there. A second load of the same plan changes nothing. For a span without stored
    candles, the nearest stored ones are requested too.

    Raises UpstreamError, StoreError or UnrepresentablePrice; earlier commits stay. If the error
    says that the price scale changed or is unknown, the candles since the last commit are in
    quarantine and not used.
    """
    series, report = plan.series, LoadReport(plan.series)
    if plan.newest is not None or plan.gaps:
        _note_first_try(store, series, clock())
    for part in plan.parts:  # an empty one has no requests
        batch: list[CandlePage] = []
        spans = requests(store, series, part, source.page_size, pages_a_commit)
        for number, answer in enumerate(_fetched(source, series, part, spans, on_page), start=1):
            batch += answer
            if batch[-1].complete or number == len(spans) or number % pages_a_commit == 0:
                report += _announce(_commit(store, series, batch, clock()), publish)
                batch = []
    return report


def _fetched(
    source: CandleSource,
    series: Series,
    part: Sequence[Span],
    requests: Sequence[Span],
    on_page: OnPage,
) -> Iterator[list[CandlePage]]:
    """Fetch the requests for a part of a plan, up to the exchange's newest closed candle.

    Yields the pages of each request. Raises the errors of `source`.
    """
    step = series.step
    for request, following in zip_longest(requests, requests[1:]):
        answer = fetch(source, series, request, on_page)
        last, complete = answer[-1].last, answer[-1].complete
        if following is not None and not complete:
            last = min(last, following.first - step)  # it repeats the rest
        on_page(count_within(part, step, request.first, last))
        yield answer
        if complete:
            return


def reload(
    plan: Plan,
    store: SeriesStore,
    source: CandleSource,
    clock: Clock,
    *,
    on_page: OnPage = ignore,
    publish: Publish = ignore,
    lose_missing: bool = False,
) -> LoadReport:
    """Fetch all candles of a `plan_reload`, then put them in place of the stored ones, at once.

    They are compared with each other, but not with the stored candles: those may have another price
    scale. Noted absences and revisions are kept; what was refused before is forgotten.

    Raises what `load` raises; nothing but the quarantine has changed then. Raises UpstreamNonsense
    where the exchange lacks some of the stored candles, unless `lose_missing`, and where it has no
    candle to put in their place.
    """
    series, answer = plan.series, Answer()
    _note_first_try(store, series, clock())
    spans = list(pages(plan.gaps, series.step, source.page_size, COMPARED))
    batch = list(chain.from_iterable(_fetched(source, series, plan.gaps, spans, on_page)))
    for page in batch:
        answer.add(page, (), series.step)
    refusal, now = answer.judge(series), clock()
    with store.begin(series) as unit:
        if refusal is None:
            lost = [bucket for bucket in unit.clear() if bucket not in answer.candles]
            if lost and not (lose_missing and answer.candles):
                raise _would_lose(series, lost, rest=bool(answer.candles))
        report = _write(unit, series, answer, batch[-1], now, usable=refusal is None)
    if refusal is not None:
        raise refusal
    return _announce(report, publish)


def _note_first_try(store: SeriesStore, series: Series, now: float) -> None:
    """Store when the first load began, before the exchange is asked: this one may fail."""
    state = store.state(series)
    if state.checked_at is None and state.first_tried_at is None:
        store.note_first_try(series, now)


def _would_lose(series: Series, lost: Sequence[int], *, rest: bool) -> UpstreamNonsense:
    advice = "It sends no other candle either: try again later."
    if rest:
        backup = how_to_run("backup", "FILE")
        lose = how_to_run("reload", f"{series.pair} --lose-missing")
        advice = f"Make a backup ({backup}), then reload without them: {lose}."
    return UpstreamNonsense(
        f"The exchange does not send {len(lost)} of the stored candles of {series}, from "
        f"{iso(lost[0])} to {iso(lost[-1])}: nothing was changed. {advice}",
        host="the exchange",
    )


def mend_averages(store: SeriesStore, clock: Clock, series: Series, buckets: Sequence[int]) -> int:
    """Recompute the averages over windows that contain these buckets, from the stored closes.

    `buckets` is ascending. Averages in its range that have no candle any more are deleted. Returns
    the number of rows written or deleted. Raises StoreError or UnrepresentablePrice.
    """
    if not buckets:
        return 0
    with store.begin(series) as unit:
        written = _recompute(unit, series.step, buckets, unit.state.last)
        written += unit.drop_orphans(buckets[0], buckets[-1])
        unit.finish(changed=bool(written), now=clock(), checked=False)
    return written


def _announce(report: LoadReport, publish: Publish) -> LoadReport:
    """Publish the events of one commit; return its report."""
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
    """Write the pages in one transaction; compare with the stored candles under its lock."""
    answer = Answer()
    with store.begin(series) as unit:
        for page in batch:
            answer.add(page, unit.candles(page.first, page.last), series.step)
        refusal = answer.judge(series)
        report = _write(unit, series, answer, batch[-1], now, usable=refusal is None)
    if refusal is not None:
        raise refusal
    return report


def _write(
    unit: SeriesUnit, series: Series, answer: Answer, page: CandlePage, now: float, *, usable: bool
) -> LoadReport:
    """Write an answer that ends with `page`, and the averages that it changes; end the unit.

    `usable` is False where the answer was refused as a whole: the series is not current then.
    """
    stored = answer.stored
    changed = [c for _, c in sorted(answer.candles.items()) if stored.get(c.bucket) != c]
    revised = tuple((stored[c.bucket], c) for c in changed if c.bucket in stored)
    absent = answer.absent()
    unit.put_candles(changed)
    unit.note_absent(absent, page.received_at)
    unit.quarantine([*answer.refused, *answer.notes.values()], int(now))
    unit.note_revised(revised)
    newest = max([c.bucket for c in changed], default=unit.state.last)
    if newest is not None and unit.state.last is not None:
        newest = max(newest, unit.state.last)
    closes = [
        c.bucket for c in changed if c.bucket not in stored or stored[c.bucket].close != c.close
    ]
    averages = _recompute(unit, series.step, closes, newest)
    newer = _newer(answer.refused, newest, page)
    checked = page.complete and usable and not newer
    revision = unit.finish(changed=bool(changed), now=now, checked=checked)
    return LoadReport(
        series,
        inserted=len(changed) - len(revised),
        revised=len(revised),
        unchanged=len(answer.candles) - len(changed),
        absent=len(absent),
        averages=averages,
        without_volume=len(answer.notes),
        refused=tuple(answer.refused),
        revision=revision,
        newest=newest,
        revisions=revised,
        newer_refused=newer,
    )


def _newer(
    refused: Sequence[RefusedCandle], newest: int | None, page: CandlePage
) -> tuple[RefusedCandle, ...] | None:
    """Return the refused candles whose bucket is, or may be, after the `newest` stored one.

    None if that is unknown: the last `page` requested nothing newer.
    """
    if newest is not None and newest >= page.last:
        return () if page.complete else None
    return tuple(r for r in refused if r.bucket is None or newest is None or r.bucket > newest)


def _recompute(unit: SeriesUnit, step: int, changed: Sequence[int], newest: int | None) -> int:
    """Recompute the averages that may contain a changed close, from the stored closes.

    Reads and writes at most the changed buckets and one longest window on each side. Returns the
    number of rows written.
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
    """Return the averages of every bucket, from ascending buckets and their closes in 1e-8."""
    values, exists = moving_averages(
        np.asarray(buckets, dtype=np.int64), np.asarray(closes, dtype=np.int64), step, WINDOWS
    )
    columns = [
        [value if there else None for value, there in zip(row, mask, strict=True)]
        for row, mask in zip(values.tolist(), exists.tolist(), strict=True)
    ]
    return [
        AverageRow(bucket, means)
        for bucket, means in zip(buckets, zip(*columns, strict=True), strict=True)
    ]
