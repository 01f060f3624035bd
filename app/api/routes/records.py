"""GET /{pair}/quarantine and GET /{pair}/revisions."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Response

from app.api.documented import RECORDS_HEADERS, SERIES_ERRORS, json_reply, problems
from app.api.models import QUARANTINE_EXAMPLE, REVISIONS_EXAMPLE, Quarantined, Revised
from app.api.negotiation import JsonOnly
from app.api.parameters import ContextDep, RecordsDep
from app.api.queries import RECORDS, series_parameters
from app.api.responses import JsonBytes, reason_header
from app.core.market import Candle, CandleRevision, QuarantinedCandle
from app.domain import rendering
from app.domain.times import LATEST
from app.services.reasons import no_records

router = APIRouter(tags=["Series"], default_response_class=JsonBytes, dependencies=[JsonOnly])


@router.get(
    "/{pair}/quarantine",
    operation_id="getQuarantine",
    summary="Candles that were refused, or whose volume was",
    responses={
        200: json_reply(
            "Refusals and notes, last seen first.",
            list[Quarantined],
            QUARANTINE_EXAMPLE,
            RECORDS_HEADERS,
        ),
        **problems(*SERIES_ERRORS),
    },
    openapi_extra=series_parameters(RECORDS),
)
def quarantine(request: RecordsDep, context: ContextDep) -> Response:
    """What the exchange sent and is not used: each reason once per bucket, with its times.

    A candle is refused for its stamp and prices alone. With `used`, only its volume is not used.
    `timestamp` is null where the candle's stamp could not be read. A record stays here even if the
    exchange later sent a correct candle of that bucket.
    """
    series, limit = request
    candles = context.runtime.series.quarantined(series, 0, LATEST, limit)
    return _listed(map(_quarantined, candles), no_records(series, "refused"))


@router.get(
    "/{pair}/revisions",
    operation_id="getRevisions",
    summary="Closed candles that the exchange changed afterwards",
    responses={
        200: json_reply(
            "The changes, last noticed first.", list[Revised], REVISIONS_EXAMPLE, RECORDS_HEADERS
        ),
        **problems(*SERIES_ERRORS),
    },
    openapi_extra=series_parameters(RECORDS),
)
def revisions(request: RecordsDep, context: ContextDep) -> Response:
    """Each closed candle before and after the change.

    The averages that contain it were recomputed in the same transaction. `revision` is the series'
    revision that brought the change.
    """
    series, limit = request
    changes = context.runtime.series.revisions(series, limit)
    return _listed(map(_revised, changes), no_records(series, "changed by the exchange"))


def _listed(rows: Iterable[bytes], otherwise: str) -> Response:
    """The reply with these rows; `otherwise` is the reason where there are none."""
    listed = b",".join(rows)
    reply = JsonBytes(b"[" + listed + b"]")
    if not listed:
        reply.raw_headers.append(reason_header(otherwise))
    return reply


def _quarantined(item: QuarantinedCandle) -> bytes:
    return rendering.flat(
        {
            "timestamp": item.bucket,
            "reason": item.reason,
            "used": item.used,
            "first_seen": item.first_seen_at,
            "last_seen": item.last_seen_at,
        }
    )


def _revised(item: CandleRevision) -> bytes:
    return rendering.flat(
        {
            "timestamp": item.old.bucket,
            "noticed": item.noticed_at,
            # Text, because it is beyond what a double holds.
            "revision": str(item.revision),
            **_prices("old", item.old),
            **_prices("new", item.new),
        }
    )


def _prices(which: str, candle: Candle) -> rendering.Flat:
    return {
        f"{which}_{name}": rendering.decimal(getattr(candle, name))
        for name in ("open", "high", "low", "close", "volume")
    }
