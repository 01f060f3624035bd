"""GET /{pair}/mms and GET /{pair}/candles."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.api import heavy_reads
from app.api.models import AVERAGES_EXAMPLE, CANDLES_EXAMPLE, AveragePoint, CandlePoint
from app.api.parameters import (
    AVERAGES,
    CANDLES,
    AveragesDep,
    CandlesDep,
    ContextDep,
    IfNoneMatch,
    series_parameters,
)
from app.api.responses import (
    JsonBytes,
    averages_reply,
    series_replies,
    series_reply,
    series_response,
)
from app.core.errors import ReversedPeriod, UnsupportedRange
from app.services.averages import read_averages, read_candles

router = APIRouter(tags=["Series"], default_response_class=JsonBytes)


@router.get(
    "/{pair}/mms",
    operation_id="getAverages",
    summary="Simple moving averages of one window",
    responses=series_replies(
        "The averages that exist, ascending.",
        list[AveragePoint],
        AVERAGES_EXAMPLE,
        UnsupportedRange,
        ReversedPeriod,
    ),
    openapi_extra=series_parameters(AVERAGES),
)
async def averages(
    request: AveragesDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """One row for each closed bucket from `from` to `to` that has this average, ascending.

    An average is the exact mean of the last `range` closes, rounded half to even at 8 places. It
    exists only where all of these buckets have a candle. A bucket without an average is left out,
    never filled, and `X-Data-Missing` counts it. One reply spans at most 10,000 stored buckets.
    """
    buckets, window = request

    def answer() -> Response:
        reading = read_averages(context.runtime.averages, window, buckets)
        return series_response(averages_reply(window, buckets, reading), held)

    return await heavy_reads.read(context, connection, buckets.expected, answer)


@router.get(
    "/{pair}/candles",
    operation_id="getCandles",
    summary="Candles, with averages beside them on request",
    responses=series_replies(
        "The candles that exist, ascending.",
        list[CandlePoint],
        CANDLES_EXAMPLE,
        UnsupportedRange,
        ReversedPeriod,
    ),
    openapi_extra=series_parameters(CANDLES),
)
async def candles(
    request: CandlesDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """One row for each closed bucket from `from` to `to` that has a candle, ascending.

    With `windows=20,50,200` each row has `mms_20`, `mms_50` and `mms_200`, null where that average
    does not exist. `X-Data-Missing` counts the buckets without a candle.
    """
    runtime, (buckets, windows) = context.runtime, request

    def answer() -> Response:
        reading = read_candles(runtime.series, runtime.averages, windows, buckets)
        return series_response(series_reply(f"candles {windows}", buckets, reading), held)

    return await heavy_reads.read(context, connection, buckets.expected, answer)
