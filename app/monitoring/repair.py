"""Repairing a series: ask the exchange for what is missing, mend averages, and look again."""

from __future__ import annotations

from app.bootstrap import Runtime
from app.core.errors import (
    TakenByAnother,
    UpstreamBlocked,
    UpstreamError,
    UpstreamUnavailable,
)
from app.core.ports import CandleSource
from app.services.gaps import Cause, Inspection, inspect
from app.services.leasing import leased
from app.services.loading import load, mend_averages
from app.utils.gaps import Span


def repair(
    made: Runtime, source: CandleSource, found: Inspection, *, strict: bool
) -> tuple[Inspection, str]:
    """Fetch what `found` lacks; returns what is found afterwards, and a note where it did not work.

    Confirmed absences are asked for again only if `strict`. Raises StoreError.
    """
    if found.complete(strict=strict):
        return found, ""
    pair, interval, step = found.pair, found.interval, found.interval.seconds
    spans = [
        Span(gap.first, gap.last)
        for gap in found.gaps
        if strict or gap.cause is not Cause.CONFIRMED
    ]
    name = f"load {pair} {interval}"
    try:
        with leased(made.leases, name, made.clock) as renew:
            load(
                made.series,
                source,
                made.clock,
                pair,
                interval,
                spans,
                on_page=lambda _buckets: renew(),
                publish=made.events.publish,
            )
            wrong = [b for s in found.wrong_averages for b in range(s.first, s.last + 1, step)]
            mend_averages(made.series, made.clock, pair, interval, wrong)
    except (UpstreamUnavailable, UpstreamBlocked) as error:
        return _again(made, found).unanswered(), f"{pair} {interval} not repaired: {error}"
    except (UpstreamError, TakenByAnother) as error:
        return _again(made, found), f"{pair} {interval} not repaired: {error}"
    return _again(made, found), ""


def _again(made: Runtime, found: Inspection) -> Inspection:
    days = made.settings.history_days
    return inspect(made.series, found.pair, found.interval, days, made.clock())
