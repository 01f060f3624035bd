"""GET /{pair}/mms and GET /{pair}/candles, in each format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request, Response

from app.api import heavy_reads
from app.api.context import Context
from app.api.models import AVERAGES_EXAMPLE, CANDLES_EXAMPLE, AveragePoint, CandlePoint
from app.api.negotiation import MEDIA_TYPES
from app.api.parameters import (
    AveragesCsvDep,
    AveragesDep,
    CandlesCsvDep,
    CandlesDep,
    ContextDep,
    IfNoneMatch,
    RowsRequest,
)
from app.api.queries import AVERAGES, AVERAGES_CSV, CANDLES, CANDLES_CSV, series_parameters
from app.api.responses import (
    JsonBytes,
    SeriesReply,
    averages_reply,
    series_replies,
    series_reply,
    series_response,
)
from app.core.errors import ReversedPeriod, UnsupportedRange
from app.core.market import Window
from app.domain.tables import Format
from app.domain.times import iso
from app.services.averages import Reading, read_averages, read_candles

router = APIRouter(tags=["Series"], default_response_class=JsonBytes)


def _replies(
    description: str, model: Any, example: Sequence[Mapping[str, Any]]
) -> dict[int | str, dict[str, Any]]:
    """The documented replies with rows in every format; `example` is the one in JSON."""
    replies = series_replies(description, model, example, UnsupportedRange, ReversedPeriod)
    columns = {name: [row[name] for row in example] for name in example[0]}
    arrays = {name: {"type": "array", "items": {"type": ["number", "null"]}} for name in columns}
    replies[200]["content"] |= {
        MEDIA_TYPES[Format.CSV]: {"schema": _TEXT, "example": _sheet(example)},
        MEDIA_TYPES[Format.NDJSON]: {
            "schema": _TEXT,
            "example": "".join(f"{json.dumps(row)}\n" for row in example),
        },
        MEDIA_TYPES[Format.COLUMNS]: {
            "schema": {"type": "object", "properties": arrays},
            "example": columns,
        },
    }
    return replies


def _csv_replies(
    description: str, example: Sequence[Mapping[str, Any]]
) -> dict[int | str, dict[str, Any]]:
    """The documented replies with rows in CSV alone."""
    replies = series_replies(description, None, None, UnsupportedRange, ReversedPeriod)
    replies[200]["content"] = {
        MEDIA_TYPES[Format.CSV]: {"schema": _TEXT, "example": _sheet(example)}
    }
    del replies[406]  # the address alone decides
    return replies


def _sheet(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [list(rows[0]), *(row.values() for row in rows)]
    return "".join(f"{','.join(map(str, line))}\n" for line in lines)


_TEXT: Final = {"type": "string"}


class _Csv(Response):
    media_type = MEDIA_TYPES[Format.CSV]


@router.get(
    "/{pair}/mms",
    operation_id="getAverages",
    summary="Simple moving averages of one window",
    responses=_replies("The averages that exist, ascending.", list[AveragePoint], AVERAGES_EXAMPLE),
    openapi_extra=series_parameters(AVERAGES),
)
async def averages(
    request: AveragesDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """One row for each closed bucket from `from` to `to` that has this average, ascending.

    An average is the exact mean of the last `range` closes, rounded half to even at 8 places. It
    exists only where all of these buckets have a candle. A bucket without an average is left out,
    never filled, and `X-Data-Missing` counts it. One reply has at most 10,000 rows: with `limit`
    the header `Link` leads to the next ones, until there are no more.
    """
    return await _averages(request, context, connection, held)


@router.get(
    "/{pair}/mms.csv",
    operation_id="getAveragesCsv",
    response_class=_Csv,
    summary="The same averages as CSV, for programs that send no headers",
    responses=_csv_replies("The averages that exist, ascending.", AVERAGES_EXAMPLE),
    openapi_extra=series_parameters(AVERAGES_CSV),
)
async def averages_csv(
    request: AveragesCsvDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """What `/{pair}/mms?format=csv` gives, at an address that a spreadsheet can open."""
    return await _averages(request, context, connection, held)


@router.get(
    "/{pair}/candles",
    operation_id="getCandles",
    summary="Candles, with averages beside them on request",
    responses=_replies("The candles that exist, ascending.", list[CandlePoint], CANDLES_EXAMPLE),
    openapi_extra=series_parameters(CANDLES),
)
async def candles(
    request: CandlesDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """One row for each closed bucket from `from` to `to` that has a candle, ascending.

    With `windows=20,50,200` each row has `mms_20`, `mms_50` and `mms_200`, null where that average
    does not exist. `X-Data-Missing` counts the buckets without a candle. `limit` works as for the
    averages.
    """
    return await _candles(request, context, connection, held)


@router.get(
    "/{pair}/candles.csv",
    operation_id="getCandlesCsv",
    response_class=_Csv,
    summary="The same candles as CSV, for programs that send no headers",
    responses=_csv_replies("The candles that exist, ascending.", CANDLES_EXAMPLE),
    openapi_extra=series_parameters(CANDLES_CSV),
)
async def candles_csv(
    request: CandlesCsvDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """What `/{pair}/candles?format=csv` gives, at an address that a spreadsheet can open."""
    return await _candles(request, context, connection, held)


async def _averages(
    request: RowsRequest, context: Context, connection: Request, held: str | None
) -> Response:
    runtime, buckets, (window,) = context.runtime, request.buckets, request.windows

    def answer() -> Response:
        reading = read_averages(runtime.series, runtime.averages, window, buckets, request.layout)
        reply = averages_reply(window, buckets, reading, request.layout)
        return _response(reply, request, reading, window, held)

    return await heavy_reads.read(context, connection, buckets.most_rows, answer)


async def _candles(
    request: RowsRequest, context: Context, connection: Request, held: str | None
) -> Response:
    runtime, buckets, windows = context.runtime, request.buckets, request.windows

    def answer() -> Response:
        reading = read_candles(runtime.series, runtime.averages, windows, buckets, request.layout)
        reply = series_reply(f"candles {windows}", buckets, reading, layout=request.layout)
        return _response(reply, request, reading, None, held)

    return await heavy_reads.read(context, connection, buckets.most_rows, answer)


def _response(
    reply: SeriesReply,
    request: RowsRequest,
    reading: Reading,
    window: Window | None,
    held: str | None,
) -> Response:
    reply.headers.extend(_next(request, reading))
    if request.layout.format is Format.CSV:
        reply.headers.append(_file_name(request, window))
    return series_response(reply, held)


def _file_name(request: RowsRequest, window: Window | None) -> tuple[bytes, bytes]:
    """The header that makes a browser save the reply, under a name that says what it is."""
    series = request.buckets.series
    kind = "candles" if window is None else f"mms-{window}"
    name = quote(f"{series.pair.legacy}-{series.interval}-{kind}.csv")
    return b"content-disposition", f'attachment; filename="{name}"'.encode("ascii")


def _next(request: RowsRequest, reading: Reading) -> Iterator[tuple[bytes, bytes]]:
    """The Link header (RFC 8288) to the rows that a limit left out.

    It is relative to the request's own address, so that it holds behind every proxy. Both ends of
    the period are in it: what closes meanwhile moves neither. They are date-times, because unix
    seconds that look like a date are refused (20131200).
    """
    if reading.rest is not None:
        first, last = map(iso, reading.rest)
        query = urlencode({**request.values, "from": first, "to": last}, safe=",:")
        yield b"link", f'<?{query}>; rel="next"'.encode("ascii")
