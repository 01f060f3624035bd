"""Repair a series: fetch missing candles, correct averages, and inspect again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.bootstrap import Runtime
from app.core.errors import (
    AWAY,
    MmsError,
    TakenByAnother,
    UnrepresentablePrice,
    UpstreamError,
)
from app.core.logging import structlog
from app.core.ports import CandleSource
from app.domain.gaps import Span
from app.domain.times import warmed_up
from app.services.gaps import Cause, Inspection, inspect, survey
from app.services.leasing import leased, load_lease
from app.services.loading import Plan, load, mend_averages


def repair(
    runtime: Runtime,
    source: CandleSource,
    inspection: Inspection,
    *,
    strict: bool,
    away: UpstreamError | None = None,
) -> tuple[Inspection, MmsError | None]:
    """Fetch the missing candles, correct averages that contradict the candles, and inspect again.

    Returns the new inspection, and the error that prevented the repair or None. Confirmed absences
    are fetched again only if `strict`. Nothing is fetched if the exchange was just `away`. Averages
    are corrected in any case, unless another process holds the lease. Raises StoreError.
    """
    if inspection.complete(strict=strict):
        return inspection, None
    spans = [
        Span(gap.first, gap.last)
        for gap in inspection.gaps
        if strict or gap.cause is not Cause.CONFIRMED
    ]
    trouble: MmsError | None = None
    try:
        with leased(runtime.leases, load_lease(inspection.series), runtime.clock) as renew:
            if spans:
                trouble = away or _fetch(runtime, source, inspection, spans, renew)
            # Checked after the fetch: the new candles have already corrected many averages.
            period = warmed_up(inspection.served, inspection.series.interval)
            _, wrong = survey(runtime.series, inspection.series, period)
            mend_averages(runtime.series, runtime.clock, inspection.series, wrong)
    except (TakenByAnother, UnrepresentablePrice) as error:
        trouble = trouble or error
    days = runtime.settings.history_days
    again = inspect(runtime.series, inspection.series, days, runtime.clock())
    return (again.unanswered() if isinstance(trouble, AWAY) else again), trouble


def _fetch(
    runtime: Runtime,
    source: CandleSource,
    inspection: Inspection,
    spans: Sequence[Span],
    renew: Callable[[], None],
) -> MmsError | None:
    """Fetch and store the spans; log and return the error, None if there is none."""
    try:
        load(
            Plan(inspection.series, gaps=tuple(spans)),
            runtime.series,
            source,
            runtime.clock,
            on_page=lambda _buckets: renew(),
            publish=runtime.events.publish,
        )
    except (UpstreamError, UnrepresentablePrice) as error:
        structlog.get_logger().error(
            "repair_failed",
            **inspection.series.named(),
            error=type(error).__name__,
            reason=str(error),
        )
        return error
    return None
