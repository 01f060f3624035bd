"""Repairing a series: ask the exchange for what is missing, mend averages, and look again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from app.bootstrap import Runtime
from app.core.errors import (
    MmsError,
    TakenByAnother,
    UnrepresentablePrice,
    UpstreamBlocked,
    UpstreamError,
    UpstreamUnavailable,
)
from app.core.ports import CandleSource
from app.domain.gaps import Span
from app.domain.times import warmed_up
from app.events.types import LoadFailed
from app.services.gaps import Cause, Inspection, inspect
from app.services.leasing import leased
from app.services.loading import Plan, load, mend_averages

AWAY: Final = (UpstreamUnavailable, UpstreamBlocked)
"""Trouble by which the exchange gives no answer: it will give the next question none."""


def repair(
    made: Runtime,
    source: CandleSource,
    found: Inspection,
    *,
    strict: bool,
    away: UpstreamError | None = None,
) -> tuple[Inspection, MmsError | None]:
    """Fetch what `found` lacks, mend the averages that contradict the candles, and look again.

    Returns what is found then, and why the repair did not work, None where it did. Confirmed absences
    are asked for again only if `strict`; nothing is where the exchange was `away` a moment ago. Averages
    are mended in any case, unless another process is at the series. Raises StoreError.
    """
    if found.complete(strict=strict):
        return found, None
    spans = [
        Span(gap.first, gap.last)
        for gap in found.gaps
        if strict or gap.cause is not Cause.CONFIRMED
    ]
    trouble: MmsError | None = None
    try:
        with leased(made.leases, f"load {found.series}", made.clock) as renew:
            if spans:
                trouble = away or _fetch(made, source, found, spans, renew)
            # As the candles are now: those that came have set much right.
            period = warmed_up(found.served, found.series.interval)
            wrong = made.series.wrong_averages(found.series, *period)
            mend_averages(made.series, made.clock, found.series, wrong)
    except (TakenByAnother, UnrepresentablePrice) as error:
        trouble = trouble or error
    days = made.settings.history_days
    again = inspect(made.series, found.series, days, made.clock())
    return (again.unanswered() if isinstance(trouble, AWAY) else again), trouble


def _fetch(
    made: Runtime,
    source: CandleSource,
    found: Inspection,
    spans: Sequence[Span],
    renew: Callable[[], None],
) -> MmsError | None:
    """Ask for the spans and store what comes; returns what went wrong, once it is told."""
    try:
        load(
            Plan.of_gaps(found.series, spans),
            made.series,
            source,
            made.clock,
            on_page=lambda _buckets: renew(),
            publish=made.events.publish,
        )
    except (UpstreamError, UnrepresentablePrice) as error:
        kind, reason = type(error).__name__, str(error)
        structlog.get_logger().error(
            "repair_failed",
            **found.series.named(),
            error=kind,
            reason=reason,
        )
        made.events.publish(LoadFailed(found.series, kind, reason))
        return error
    return None
