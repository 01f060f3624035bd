"""GET /{pair}/mms and GET /{pair}/candles."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from app.api.conditional import answered
from app.api.dependencies import (
    AVERAGES,
    CANDLES,
    AveragesDep,
    CandlesDep,
    ContextDep,
    IfNoneMatch,
)
from app.api.openapi import (
    NOT_MODIFIED,
    SERIES_ERRORS,
    SERIES_HEADERS,
    JsonBytes,
    json_reply,
    problems,
    series_parameters,
)
from app.core.errors import ReversedPeriod, UnsupportedRange
from app.schemas.replies import AveragePoint, CandlePoint
from app.services.averages import read_averages, read_candles

router = APIRouter(tags=["Series"], default_response_class=JsonBytes)

_AVERAGES_EXAMPLE: Final = [
    {"timestamp": 1711584000, "mms": 342881.46050217},
    {"timestamp": 1711670400, "mms": 344013.01851597},
]
_CANDLES_EXAMPLE: Final = [
    {
        "timestamp": 1711670400,
        "open": 352100.0,
        "high": 354999.5,
        "low": 345210.0125,
        "close": 349000.00000001,
        "volume": 31.40281734,
        "mms_20": 344013.01851597,
        "mms_50": 306486.96789567,
        "mms_200": 213766.2485892,
    }
]


@router.get(
    "/{pair}/mms",
    summary="Simple moving averages of one window",
    responses={
        200: json_reply(
            "The averages that exist, ascending.",
            list[AveragePoint],
            _AVERAGES_EXAMPLE,
            SERIES_HEADERS,
        ),
        304: NOT_MODIFIED,
        **problems(*SERIES_ERRORS, UnsupportedRange, ReversedPeriod),
    },
    openapi_extra=series_parameters(AVERAGES),
)
def averages(request: AveragesDep, context: ContextDep, if_none_match: IfNoneMatch) -> Response:
    """One row for each closed bucket from `from` to `to` that has this average, ascending.

    An average is the exact mean of the last `range` closes, rounded half to even at 8 places. It
    exists only where all of these buckets have a candle: a gap is left out, never filled, and
    `X-Data-Missing` counts what is left out. One reply spans at most 10,000 stored buckets.
    """
    asked, window = request
    found = read_averages(context.runtime.averages, window, asked)
    return answered(f"mms {window}", asked, found, if_none_match, window)


@router.get(
    "/{pair}/candles",
    summary="Candles, with averages beside them when asked",
    responses={
        200: json_reply(
            "The candles that exist, ascending.",
            list[CandlePoint],
            _CANDLES_EXAMPLE,
            SERIES_HEADERS,
        ),
        304: NOT_MODIFIED,
        **problems(*SERIES_ERRORS, UnsupportedRange, ReversedPeriod),
    },
    openapi_extra=series_parameters(CANDLES),
)
def candles(request: CandlesDep, context: ContextDep, if_none_match: IfNoneMatch) -> Response:
    """One row for each closed bucket from `from` to `to` that has a candle, ascending.

    With `windows=20,50,200` each row has `mms_20`, `mms_50` and `mms_200`, null where that average
    does not exist. `X-Data-Missing` counts the buckets without a candle.
    """
    runtime, (asked, windows) = context.runtime, request
    found = read_candles(runtime.series, runtime.averages, windows, asked)
    return answered(f"candles {windows}", asked, found, if_none_match)
