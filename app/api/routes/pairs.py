"""GET /pairs."""

from __future__ import annotations

from itertools import product
from typing import Final

from fastapi import APIRouter, Response

from app.api.dependencies import ContextDep, NoParameters
from app.api.openapi import JsonBytes, json_reply, problems
from app.core.errors import StoreUnavailable
from app.core.market import WINDOWS, Series
from app.domain.times import iso
from app.schemas.replies import Pairs, SeriesStatus
from app.services.averages import nothing_stored
from app.services.coverage import Coverage

router = APIRouter(tags=["Series"], default_response_class=JsonBytes)

_EXAMPLE: Final = {
    "pairs": [
        {
            "pair": "BRLBTC",
            "symbol": "BTC-BRL",
            "interval": "1d",
            "windows": list(WINDOWS),
            "first": "2023-03-31T00:00:00Z",
            "last": "2024-03-29T00:00:00Z",
            "expected": 365,
            "stored": 365,
            "missing": 0,
            "warm_up_missing": 0,
            "stale": False,
            "as_of": "2024-03-29T00:00:00Z",
            "checked_at": "2024-03-30T00:05:02Z",
        },
    ]
}


@router.get(
    "/pairs",
    summary="What is served, how complete and how fresh",
    responses={
        200: json_reply("Every served series.", Pairs, _EXAMPLE),
        **problems(StoreUnavailable),
    },
    dependencies=[NoParameters],
)
def pairs(context: ContextDep) -> Response:
    """Every served pair at every served interval.

    `expected`, `stored` and `missing` count the closed buckets of the last `HISTORY_DAYS` days;
    `warm_up_missing` those that are missing of the 199 before them, without which the first averages
    do not exist. `/{pair}/gaps` names both. `as_of` is the newest stored one and `checked_at` the last load that reached the exchange.
    """
    settings = context.runtime.settings
    now = context.runtime.clock()
    found = [
        context.coverage.coverage(Series(pair, interval), now)
        for pair, interval in product(settings.allowed_pairs, settings.intervals)
    ]
    body = Pairs(pairs=tuple(map(_status, found)))
    return JsonBytes(body.model_dump_json(exclude_unset=True).encode())


def _status(found: Coverage) -> SeriesStatus:
    status = SeriesStatus(
        pair=found.series.pair.legacy,
        symbol=found.series.pair.symbol,
        interval=found.series.interval.value,
        windows=WINDOWS,
        first=_iso(found.first),
        last=_iso(found.last),
        expected=found.expected,
        stored=found.stored,
        missing=found.missing,
        warm_up_missing=found.warm_up_missing,
        stale=found.stale,
        as_of=_iso(found.as_of),
        checked_at=_iso(found.checked_at),
    )
    if found.as_of is None:
        message = nothing_stored(found.series)
        return status.model_copy(update={"message": message})
    return status


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)
