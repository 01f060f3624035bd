"""GET /{pair}/quarantine and GET /{pair}/revisions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fastapi import APIRouter, Response

from app.api.dependencies import RECORDS, ContextDep, RecordsDep
from app.api.openapi import SERIES_ERRORS, JsonBytes, json_reply, problems, series_parameters
from app.core.market import Candle, CandleRevision, QuarantinedCandle
from app.domain import rendering
from app.domain.times import LATEST
from app.schemas.replies import Quarantined, Revised

router = APIRouter(tags=["Series"], default_response_class=JsonBytes)

_QUARANTINED: Final = {
    "timestamp": 1709596800,
    "reason": "The close 320123.45 lies above the high 310000.",
    "first_seen": 1709683210,
    "last_seen": 1709769610,
}
_REVISED: Final = {
    "timestamp": 1709596800,
    "noticed": 1709769610,
    "revision": "1792554000000000001",
    **{f"old_{name}": 320123.45 for name in ("open", "high", "low", "close", "volume")},
    **{f"new_{name}": 320124.0 for name in ("open", "high", "low", "close", "volume")},
}


@router.get(
    "/{pair}/quarantine",
    summary="Candles that the exchange sent and that were refused",
    responses={
        200: json_reply("The last seen ones first.", list[Quarantined], [_QUARANTINED]),
        **problems(*SERIES_ERRORS),
    },
    openapi_extra=series_parameters(RECORDS),
)
def quarantine(request: RecordsDep, context: ContextDep) -> Response:
    """What was refused and why, each reason once per bucket, with when it was first and last seen.

    `timestamp` is null where the candle's stamp could not be read. A bucket whose candle came right
    later stays here as a record.
    """
    series, limit = request
    found = context.runtime.series.quarantined(series, 0, LATEST, limit)
    return _listed(_quarantined(item) for item in found)


@router.get(
    "/{pair}/revisions",
    summary="Closed candles that the exchange changed afterwards",
    responses={
        200: json_reply("The last noticed ones first.", list[Revised], [_REVISED]),
        **problems(*SERIES_ERRORS),
    },
    openapi_extra=series_parameters(RECORDS),
)
def revisions(request: RecordsDep, context: ContextDep) -> Response:
    """What a closed candle was before and after. The averages that contain it were recomputed in the
    same transaction; `revision` is the series' revision that brought the change."""
    found = context.runtime.series.revisions(*request)
    return _listed(_revised(item) for item in found)


def _listed(rows: Iterable[bytes]) -> Response:
    return JsonBytes(b"[" + b",".join(rows) + b"]")


def _quarantined(item: QuarantinedCandle) -> bytes:
    return rendering.flat(
        {
            "timestamp": item.bucket,
            "reason": item.reason,
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
