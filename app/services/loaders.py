"""The two loaders: which buckets each of them asks for. What is done with them is `loading.load`."""

from __future__ import annotations

from itertools import chain
from typing import Final, Unpack

from app.core.market import DAY, Interval, Pair
from app.core.ports import CandleSource, Clock, SeriesStore
from app.services.loading import LoadOptions, LoadReport, load
from app.utils.days import served_period, warmed_up
from app.utils.gaps import Span, missing

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
    pair: Pair,
    interval: Interval,
    *,
    history_days: int,
    **options: Unpack[LoadOptions],
) -> LoadReport:
    """Load what the served history lacks, then go on as `load_incremental` does. Raises as `load`."""
    lacking = to_fetch(store, pair, interval, history_days, clock())
    report = load(store, source, clock, pair, interval, lacking, **options)
    if store.state(pair, interval).last is None:
        return report  # there is nothing to go on from
    return report + load_incremental(
        store, source, clock, pair, interval, history_days=history_days, **options
    )


def load_incremental(
    store: SeriesStore,
    source: CandleSource,
    clock: Clock,
    pair: Pair,
    interval: Interval,
    *,
    history_days: int,
    reread: int = REREAD,
    **options: Unpack[LoadOptions],
) -> LoadReport:
    """Load everything since the newest stored candle, however long ago, and re-read the last few.

    What was overlooked before it comes after it. A series with nothing stored (a pair that was just
    configured) gets its whole history. Raises as `load`.
    """
    if store.state(pair, interval).last is None:
        return load_initial(
            store, source, clock, pair, interval, history_days=history_days, **options
        )
    report = LoadReport(pair, interval)
    for spans in to_catch_up(store, pair, interval, history_days, reread, clock()):
        report += load(store, source, clock, pair, interval, spans, **options)
    return report


def to_fetch(
    store: SeriesStore, pair: Pair, interval: Interval, history_days: int, now: float
) -> list[Span]:
    """What an initial load still has to ask for, so that the whole served period has its averages.

    That is the served period and the `WARM_UP` buckets before it, less what is stored, less what the
    exchange said within the last day that it does not have.
    """
    wanted = warmed_up(served_period(interval, history_days, now), interval)
    stored = store.buckets(pair, interval, *wanted)
    absences = store.absences(pair, interval, *wanted)
    lacking = (item.bucket for item in absences if item.last_asked_at > now - DAY)
    settled = sorted(chain(stored, lacking))
    return missing(*wanted, interval.seconds, settled)


def to_catch_up(
    store: SeriesStore,
    pair: Pair,
    interval: Interval,
    history_days: int,
    reread: int,
    now: float,
) -> list[list[Span]]:
    """What an incremental load asks for, in the order of its parts; see `load_incremental`.

    The newest candles come first: trouble with an old bucket must not keep them away.
    """
    recent = since_last(store, pair, interval, reread, now)
    if not recent:
        return [to_fetch(store, pair, interval, history_days, now)]
    lost = overlooked(store, pair, interval, history_days, recent[0].first, now)
    return [recent, lost] if lost else [recent]


def since_last(
    store: SeriesStore, pair: Pair, interval: Interval, reread: int, now: float
) -> list[Span]:
    """What an incremental load asks for: from the last stored candle to the exchange's newest one.

    Begins `reread` buckets back, the newest stored one included, and ends beyond our own clock, in
    case the exchange's is ahead. Empty where nothing is stored: that is the initial loader's work.
    """
    newest = store.state(pair, interval).last
    if newest is None:
        return []
    first = newest - (reread - 1) * interval.seconds
    ahead = max(LOOK_AHEAD * interval.seconds, LEAST_LOOK_AHEAD)
    return [Span(first, max(newest, interval.last_closed(now)) + ahead)]


def overlooked(
    store: SeriesStore, pair: Pair, interval: Interval, history_days: int, before: int, now: float
) -> list[Span]:
    """What is missing `before` a bucket, of the served period and its warm-up, and nobody asked for.

    As after HISTORY_DAYS was raised, or a candle deleted. A bucket that the exchange was asked for in
    vain, or whose candle was refused, is left to the gap monitor: else every run would ask again for
    what lies before an exchange's first candle. Any may be the one of a candle that was refused because
    its stamp could not be read, so nothing is asked for a day after such a one came.
    """
    wanted = warmed_up(served_period(interval, history_days, now), interval)
    period = Span(wanted.first, min(wanted.last, before - interval.seconds))
    if store.settled(pair, interval, *period) == interval.count(*period):
        return []  # as nearly always: a count costs a tenth of reading a year of minutes
    stored = store.buckets(pair, interval, *period)
    absent = (item.bucket for item in store.absences(pair, interval, *period))
    refused = store.quarantined(pair, interval, *period)
    if any(item.bucket is None and item.last_seen_at > now - DAY for item in refused):
        return []
    placed = (item.bucket for item in refused if item.bucket is not None)
    return missing(*period, interval.seconds, sorted(chain(stored, absent, placed)))
