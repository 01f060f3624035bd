"""What the two loaders do to a series, without their commands."""

from __future__ import annotations

from app.core.market import Series
from app.core.ports import CandleSource, Clock, SeriesStore
from app.events.types import Publish
from app.services.loading import REREAD, LoadReport, ignore, load, plan_load
from tests.support.candles import BTC_DAILY


def initial(
    store: SeriesStore,
    source: CandleSource,
    clock: Clock,
    *,
    history_days: int,
    series: Series = BTC_DAILY,
) -> LoadReport:
    """Load as the initial loader does."""
    plan = plan_load(store, series, clock(), history_days=history_days, ask_absent_again=True)
    return load(plan, store, source, clock)


def incremental(
    store: SeriesStore,
    source: CandleSource,
    clock: Clock,
    *,
    history_days: int,
    reread: int = REREAD,
    publish: Publish = ignore,
) -> LoadReport:
    """Load as the incremental loader does."""
    plan = plan_load(store, BTC_DAILY, clock(), history_days=history_days, reread=reread)
    return load(plan, store, source, clock, publish=publish)
