"""The two loaders: which buckets each of them asks for. What is done with them is `loading.load`."""

from __future__ import annotations

from itertools import chain
from typing import Final

from app.core.market import DAY, WARM_UP, Interval, Pair
from app.core.ports import CandleSource, Clock, SeriesStore
from app.services.loading import PAGES_A_COMMIT, LoadReport, OnPage, Publish, ignore, load
from app.utils.days import served_period
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
    on_page: OnPage = ignore,
    publish: Publish = ignore,
    pages_a_commit: int = PAGES_A_COMMIT,
) -> LoadReport:
    """Load what the served history lacks, then go on as `load_incremental` does. Raises as `load`."""
    lacking = to_fetch(store, pair, interval, history_days, clock())
    report = load(
        store,
        source,
        clock,
        pair,
        interval,
        lacking,
        on_page=on_page,
        publish=publish,
        pages_a_commit=pages_a_commit,
    )
    if lacking and report.newest is None:
        return report  # there is nothing to go on from
    return report + load_incremental(
        store,
        source,
        clock,
        pair,
        interval,
        history_days=history_days,
        on_page=on_page,
        publish=publish,
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
    on_page: OnPage = ignore,
    publish: Publish = ignore,
) -> LoadReport:
    """Load everything since the newest stored candle, however long ago, and re-read the last few.

    A series with nothing stored (a pair that was just configured) gets its whole history. Raises as
    `load`.
    """
    now = clock()
    spans = since_last(store, pair, interval, reread, now)
    if not spans:
        spans = to_fetch(store, pair, interval, history_days, now)
    return load(store, source, clock, pair, interval, spans, on_page=on_page, publish=publish)


def to_fetch(
    store: SeriesStore, pair: Pair, interval: Interval, history_days: int, now: float
) -> list[Span]:
    """What an initial load still has to ask for, so that the whole served period has its averages.

    That is the served period and the `WARM_UP` buckets before it, less what is stored, less what the
    exchange said within the last day that it does not have.
    """
    served = served_period(interval, history_days, now)
    first = served.first - WARM_UP * interval.seconds
    stored = store.buckets(pair, interval, first, served.last)
    absences = store.absences(pair, interval, first, served.last)
    lacking = (item.bucket for item in absences if item.last_asked_at > now - DAY)
    settled = sorted(chain(stored, lacking))
    return missing(first, served.last, interval.seconds, settled)


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
