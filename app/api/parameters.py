"""The parameters of requests: path, query and conditions, each read and checked once.

The query has its own parser, which reads the same declarations that /docs shows. FastAPI's
parameters cost three quarters of a read, and cannot refuse a repeated name (decision 0002).

The dependencies here are coroutines, because FastAPI would send plain functions through the thread
pool. None of them waits for anything.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from app.api.context import Context
from app.api.errors import shortened
from app.api.negotiation import format_of
from app.core.errors import (
    InvalidParameter,
    RepeatedParameter,
    UnknownParameter,
    UnsupportedRange,
    UnsupportedSymbol,
)
from app.core.market import WINDOWS, Interval, Series, Window
from app.core.prices import THRESHOLD_SCHEMA, Coin, parse_threshold
from app.domain.anomalies import Method, RelativeRule, RobustRule, Rule
from app.domain.tables import Format, Layout
from app.domain.times import SCHEMA as MOMENT_SCHEMA
from app.domain.times import Moment, moment, require_order
from app.services.averages import MAX_POINTS, Selection, select

LONGEST: Final = 2_048
"""The most bytes of query string that are read."""

IGNORED: Final = "_"
"""A parameter that any request may have: jQuery and others add it, so that no cache answers."""

_WINDOWS: Final = {str(window): window for window in WINDOWS}
_WHICH_WINDOWS: Final = "use one of " + ", ".join(_WINDOWS)
_DAY: Final = Interval.DAY.value
_INTEGER: Final = re.compile(r"-?[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter: its spellings and its documentation.

    /docs shows the first spelling alone: OpenAPI cannot say that two parameters exclude each other.
    It fills in examples and defaults. So only a required parameter has an example, and the default
    of the schema, by which the query is read, stays out of the document.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    example: Any = None
    other_name: str | None = None
    required: bool = False

    def documented(self) -> dict[str, Any]:
        """The parameter as an OpenAPI Parameter Object."""
        other = "" if self.other_name is None else f" `{self.other_name}` means the same."
        shown = {"example": self.example} if self.required else {}
        return {
            "name": self.name,
            "in": "query",
            "required": self.required,
            "description": f"{self.description}{other}",
            "schema": {name: said for name, said in self.schema.items() if name != "default"},
            **shown,
        }


class Query:
    """The query parameters that one kind of request takes."""

    def __init__(self, *parameters: Parameter) -> None:
        self.parameters = parameters
        self._required = [parameter for parameter in parameters if parameter.required]
        # The parameter's name by each of its spellings, in the order of declaration.
        self._names = {
            spelling: parameter.name
            for parameter in parameters
            for spelling in (parameter.name, parameter.other_name)
            if spelling is not None
        }

    def read(self, raw: bytes) -> dict[str, str]:
        """The values in the query string `raw`, by parameter name, without IGNORED.

        Raises UnknownParameter, RepeatedParameter (also for two spellings of one parameter), and
        InvalidParameter where the query is too long, is not UTF-8 or lacks a required parameter.
        """
        if len(raw) > LONGEST:
            raise InvalidParameter(
                f"The query is {len(raw):,} bytes long; at most {LONGEST:,} are read."
            )
        values: dict[str, str] = {}
        items = _items(raw)
        for spelling, _, value in items:
            name = self._names.get(spelling)
            if name is None:
                if spelling == IGNORED:
                    continue
                raise self._unknown(spelling)
            if name in values:
                first = next(other for other, _, _ in items if self._names.get(other) == name)
                raise _repeated(first, spelling)
            values[name] = value
        for parameter in self._required:
            if parameter.name not in values:
                raise InvalidParameter(f"{parameter.name} is required. {parameter.description}")
        return values

    def documented(self) -> list[dict[str, Any]]:
        """Every parameter as an OpenAPI Parameter Object."""
        return [parameter.documented() for parameter in self.parameters]

    def _unknown(self, spelling: str) -> UnknownParameter:
        shown = shortened(spelling)
        if not self._names:
            return UnknownParameter(f"{shown!r} is no parameter of this request: it takes none.")
        close = difflib.get_close_matches(shown.lower(), self._names, n=1)
        hint = f" ({close[0]} is)" if close else ""
        allowed = ", ".join(self._names)
        return UnknownParameter(f"{shown!r} is no parameter of this request{hint}: use {allowed}.")


def _repeated(first: str, second: str) -> RepeatedParameter:
    if first == second:
        return RepeatedParameter(f"{first} is given more than once: give it once.")
    return RepeatedParameter(f"{first} and {second} mean the same: give one of them, once.")


def _items(raw: bytes) -> list[tuple[str, str, str]]:
    """The items of a query string in their order: name, equals sign and value, decoded."""
    try:
        if b"%" not in raw and b"+" not in raw:
            return [item.partition("=") for item in raw.decode().split("&") if item]
        encoded = [item.partition(b"=") for item in raw.split(b"&") if item]
        return [(_decoded(name), "=", _decoded(value)) for name, _, value in encoded]
    except UnicodeDecodeError:
        raise InvalidParameter(
            "The query is not valid UTF-8: percent-encode the bytes of UTF-8 text."
        ) from None


def _decoded(part: bytes) -> str:
    return unquote_to_bytes(part.replace(b"+", b" ")).decode()


# The parameters of each request, as /docs shows them.


def _limit(what: str, most: int) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": 100}
    return Parameter("limit", f"{what}, 1 to {most:,}. Default 100.", schema)


def _lists(windows: tuple[Window, ...]) -> str:
    """A pattern of the lists of these windows that name none of them twice."""
    each = []
    for window in windows:
        rest = _lists(tuple(other for other in windows if other != window))
        each.append(f"{window}(?:,(?:{rest}))?" if rest else f"{window}")
    return "|".join(each)


_MOMENT: Final = (
    "Unix seconds, a date (`YYYY-MM-DD`) or a date-time with its zone (`YYYY-MM-DDThh:mm:ssZ`), "
    "inclusive."
)

FROM: Final = Parameter(
    "from",
    f"First moment. {_MOMENT} Default: `HISTORY_DAYS` - 1 days before `to`, for intervals below "
    "`1d` at most 10,000 buckets.",
    MOMENT_SCHEMA,
    other_name="from_ts",
)
TO: Final = Parameter(
    "to",
    f"Last moment. {_MOMENT} A date means all of its day. Default: the last closed bucket.",
    MOMENT_SCHEMA,
    other_name="to_ts",
)
RANGE: Final = Parameter(
    "range",
    "Length of the averaging window in buckets: 20, 50 or 200.",
    {"$ref": "#/components/schemas/Window"},
    WINDOWS[0],
    other_name="range_days",
    required=True,
)
ROWS_WINDOWS: Final = Parameter(
    "windows",
    "Averages to put beside each candle: any of 20, 50 and 200, with commas between "
    "(`20,50,200`). Default: none.",
    {"type": "string", "pattern": f"^(?:{_lists(WINDOWS)})$"},
)
INTERVAL: Final = Parameter(
    "interval",
    "Length of a candle. Default `1d`.",
    {"$ref": "#/components/schemas/Interval"},
)
ROWS_LIMIT: Final = Parameter(
    "limit",
    f"At most so many rows, 1 to {MAX_POINTS:,}. Where there are more, the header `Link` leads to "
    "the next ones. Default: all rows of the period, which may span 10,000 buckets then.",
    {"type": "integer", "minimum": 1, "maximum": MAX_POINTS},
)
ORDER: Final = Parameter(
    "order",
    "`asc` (default), or `desc` for the newest first: `limit=30&order=desc` are the last 30.",
    {"type": "string", "enum": ["asc", "desc"]},
)
FORMAT: Final = Parameter(
    "format",
    "`json`, `csv` with a header row, `ndjson` with one object a line, or `columns`: one object "
    "with an array for each column. Default: what `Accept` prefers, else `json`.",
    {"type": "string", "enum": [each.value for each in Format]},
)
TIME: Final = Parameter(
    "time",
    "How CSV writes a bucket: `epoch` (default) or `iso` (`YYYY-MM-DDThh:mm:ssZ`).",
    {"type": "string", "enum": ["epoch", "iso"]},
)
LOCALE: Final = Parameter(
    "locale",
    "How CSV writes numbers: `en` (default), or `pt-BR` with decimal commas and semicolons "
    "between the cells.",
    {"type": "string", "enum": ["en", "pt-BR"]},
)
RECORDS_LIMIT: Final = _limit("How many", 1_000)
PRICES_LIMIT: Final = _limit("How many prices", 10_000)
COLLECTED_FROM: Final = Parameter(
    "from",
    "Collected at or after: unix seconds, a date or a date-time with its zone. Default: the first.",
    MOMENT_SCHEMA,
    other_name="from_ts",
)
COLLECTED_TO: Final = Parameter(
    "to",
    "Collected at or before; a date means all of its day. Default: the last.",
    MOMENT_SCHEMA,
    other_name="to_ts",
)
THRESHOLD: Final = Parameter(
    "threshold",
    "Relative change that must be exceeded, for `method=relative`. Default: ANOMALY_THRESHOLD.",
    THRESHOLD_SCHEMA,
)
METHOD: Final = Parameter(
    "method",
    "`relative` (default) or `robust`.",
    {"type": "string", "enum": [method.value for method in Method]},
)

_ROWS: Final = (INTERVAL, ROWS_LIMIT, ORDER)
_SHEET: Final = (TIME, LOCALE)

AVERAGES: Final = Query(RANGE, FROM, TO, *_ROWS, FORMAT, *_SHEET)
AVERAGES_CSV: Final = Query(RANGE, FROM, TO, *_ROWS, *_SHEET)
CANDLES: Final = Query(FROM, TO, ROWS_WINDOWS, *_ROWS, FORMAT, *_SHEET)
CANDLES_CSV: Final = Query(FROM, TO, ROWS_WINDOWS, *_ROWS, *_SHEET)
ANOMALIES: Final = Query(FROM, TO, INTERVAL, THRESHOLD, METHOD)
GAPS: Final = Query(INTERVAL)
LATEST: Final = GAPS
RECORDS: Final = Query(INTERVAL, RECORDS_LIMIT)
HISTORY: Final = Query(PRICES_LIMIT, COLLECTED_FROM, COLLECTED_TO)
ANOMALY: Final = Query(THRESHOLD, METHOD)
NOTHING: Final = Query()


def series_parameters(query: Query = NOTHING) -> dict[str, Any]:
    """The pair and the query parameters of a request for a series, for /docs."""
    pair = _in_path(
        "pair", "`BRLBTC` or `BTC-BRL`, any case; `/pairs` lists what is served.", "BRLBTC"
    )
    return {"parameters": [pair, *query.documented()]}


def symbol_parameters(query: Query = NOTHING) -> dict[str, Any]:
    """The symbol and the query parameters of a request about a coin, for /docs."""
    symbol = _in_path(
        "symbol", "`BTC`, any case; `/supported-symbols` lists what is collected.", "BTC"
    )
    return {"parameters": [symbol, *query.documented()]}


def _in_path(name: str, description: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


# An annotated type for the parameters of each kind of request.


async def _context(request: Request) -> Context:
    context = request.scope["state"]["context"]
    assert isinstance(context, Context)
    return context


ContextDep = Annotated[Context, Depends(_context)]


class RowsRequest(NamedTuple):
    """A request for rows of a series.

    `windows` are those of the averages, ascending. `values` are the query's, by parameter name.
    """

    buckets: Selection
    windows: tuple[Window, ...]
    layout: Layout
    values: Mapping[str, str]


def plain_averages(context: Context, pair: str, query: bytes) -> tuple[Selection, Window] | None:
    """The buckets and the window of a request for averages; None where it asks for more than that.

    More is a limit, an order or a format other than JSON. Raises an InvalidRequest.
    """
    values = AVERAGES.read(query)
    if not values.keys() <= _PLAIN:
        return None
    return _period(context, pair, values), _window(values["range"], "range")


_PLAIN: Final = frozenset(parameter.name for parameter in (RANGE, FROM, TO, INTERVAL))


async def _averages(request: Request, context: ContextDep) -> RowsRequest:
    values = AVERAGES.read(_query(request))
    return _of_averages(request, context, values, _layout(values, request))


async def _averages_csv(request: Request, context: ContextDep) -> RowsRequest:
    values = AVERAGES_CSV.read(_query(request))
    return _of_averages(request, context, values, _csv_layout(values))


async def _candles(request: Request, context: ContextDep) -> RowsRequest:
    values = CANDLES.read(_query(request))
    return _of_candles(request, context, values, _layout(values, request))


async def _candles_csv(request: Request, context: ContextDep) -> RowsRequest:
    values = CANDLES_CSV.read(_query(request))
    return _of_candles(request, context, values, _csv_layout(values))


def _of_averages(
    request: Request, context: Context, values: dict[str, str], layout: Layout
) -> RowsRequest:
    buckets = _period(context, _pair(request), values)
    return RowsRequest(buckets, (_window(values["range"], "range"),), layout, values)


def _of_candles(
    request: Request, context: Context, values: dict[str, str], layout: Layout
) -> RowsRequest:
    windows = _windows(values["windows"]) if "windows" in values else ()
    return RowsRequest(_period(context, _pair(request), values), windows, layout, values)


async def _series(request: Request, context: ContextDep) -> Series:
    values = GAPS.read(_query(request))
    return _named_series(context, _pair(request), values)


async def _interval(request: Request, context: ContextDep) -> Interval:
    return context.interval(LATEST.read(_query(request)).get("interval", _DAY))


async def _records(request: Request, context: ContextDep) -> tuple[Series, int]:
    values = RECORDS.read(_query(request))
    return _named_series(context, _pair(request), values), _whole_number(values, RECORDS_LIMIT)


async def _coin(request: Request, context: ContextDep) -> Coin:
    """The coin of the path; a symbol may hold a slash, percent-encoded or not."""
    text = request.path_params["symbol"]
    try:
        return context.coin(text)
    except UnsupportedSymbol:
        if not text or "/" in text:
            raise HTTPException(HTTPStatus.NOT_FOUND) from None
        raise


CoinDep = Annotated[Coin, Depends(_coin)]


async def _history(request: Request, coin: CoinDep) -> tuple[Coin, int, int | None, int | None]:
    values = HISTORY.read(_query(request))
    since, until = _ends(values)
    require_order(since, until)
    first, last = since.first if since else None, until.last if until else None
    return coin, _whole_number(values, PRICES_LIMIT), first, last


async def _anomaly(request: Request, context: ContextDep, coin: CoinDep) -> tuple[Coin, Rule]:
    values = ANOMALY.read(_query(request))
    default = context.runtime.settings.anomaly_threshold.of(coin.symbol)
    return coin, _rule(values, default)


async def _anomalies(request: Request, context: ContextDep) -> tuple[Selection, Rule]:
    values = ANOMALIES.read(_query(request))
    buckets = _period(context, _pair(request), values)
    default = context.runtime.settings.anomaly_threshold.of(buckets.series.pair.base)
    return buckets, _rule(values, default)


async def _nothing(request: Request) -> None:
    NOTHING.read(_query(request))


async def _if_none_match(request: Request) -> str | None:
    # Several lines are one list (RFC 9110, 5.3). If-Modified-Since is ignored: it has whole
    # seconds, and two loads may end within one.
    lines = request.headers.getlist("if-none-match")
    return ", ".join(lines) if lines else None


IfNoneMatch = Annotated[str | None, Depends(_if_none_match)]
AveragesDep = Annotated[RowsRequest, Depends(_averages)]
AveragesCsvDep = Annotated[RowsRequest, Depends(_averages_csv)]
CandlesDep = Annotated[RowsRequest, Depends(_candles)]
CandlesCsvDep = Annotated[RowsRequest, Depends(_candles_csv)]
RecordsDep = Annotated[tuple[Series, int], Depends(_records)]
"""The series, and how many records of it."""
SeriesDep = Annotated[Series, Depends(_series)]
IntervalDep = Annotated[Interval, Depends(_interval)]
HistoryDep = Annotated[tuple[Coin, int, int | None, int | None], Depends(_history)]
"""The coin, how many prices, and the first and last unix second, if any."""
AnomalyDep = Annotated[tuple[Coin, Rule], Depends(_anomaly)]
AnomaliesDep = Annotated[tuple[Selection, Rule], Depends(_anomalies)]
NoParameters = Depends(_nothing)


# What each parameter means.


def _pair(request: Request) -> str:
    pair: str = request.path_params["pair"]
    return pair


def _query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return query


def _period(context: Context, pair: str, values: dict[str, str]) -> Selection:
    """The series and the buckets of a request, from its path and its query values."""
    series = _named_series(context, pair, values)
    since, until = _ends(values)
    limit = _whole_number(values, ROWS_LIMIT) if ROWS_LIMIT.name in values else None
    return select(
        series,
        since,
        until,
        context.history_days,
        context.runtime.clock(),
        limit,
        descending=_choice(values, ORDER, "asc") == "desc",
    )


def _layout(values: dict[str, str], request: Request) -> Layout:
    """The format of the rows: the parameter's, else what Accept prefers."""
    given = FORMAT.name in values
    chosen = Format(_choice(values, FORMAT, "")) if given else format_of(request)
    if chosen is Format.CSV:
        return _csv_layout(values)
    for parameter in _SHEET:
        if parameter.name in values:
            raise InvalidParameter(
                f"{parameter.name} belongs to CSV, and this reply is {chosen.value}: add "
                f"format=csv, or leave {parameter.name} out."
            )
    return Layout(chosen)


def _csv_layout(values: dict[str, str]) -> Layout:
    return Layout(
        Format.CSV,
        iso_times=_choice(values, TIME, "epoch") == "iso",
        decimal_comma=_choice(values, LOCALE, "en") == "pt-BR",
    )


def _choice(values: dict[str, str], parameter: Parameter, default: str) -> str:
    """The value of `parameter`, one of its schema's enum. Raises InvalidParameter."""
    text, allowed = values.get(parameter.name, default), parameter.schema["enum"]
    if text in allowed or parameter.name not in values:
        return text
    raise InvalidParameter(
        f"{parameter.name}={shortened(text)!r} is unknown: use one of {', '.join(allowed)}."
    )


def _ends(values: dict[str, str]) -> tuple[Moment | None, Moment | None]:
    since = moment(values["from"], "from") if "from" in values else None
    until = moment(values["to"], "to") if "to" in values else None
    return since, until


def _named_series(context: Context, pair: str, values: dict[str, str]) -> Series:
    return context.series(pair, values.get("interval", _DAY))


def _whole_number(values: dict[str, str], parameter: Parameter) -> int:
    """The value of `parameter`, or its default. Raises InvalidParameter, which names it."""
    name, schema = parameter.name, parameter.schema
    least, most = schema["minimum"], schema["maximum"]
    text = values.get(name, str(schema.get("default")))
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if not least <= number <= most:
        raise InvalidParameter(
            f"{name}={shortened(text)!r} is no whole number from {least} to {most:,}."
        )
    return number


def _window(text: str, name: str) -> Window:
    window = _WINDOWS.get(text)
    if window is not None:
        return window
    shown = shortened(text)
    if _INTEGER.fullmatch(text):
        raise UnsupportedRange(f"{name}={shown} is not computed: {_WHICH_WINDOWS}.")
    raise InvalidParameter(f"{name}={shown!r} is not a whole number: {_WHICH_WINDOWS}.")


def _windows(text: str) -> tuple[Window, ...]:
    windows = [_window(item, "windows") for item in text.split(",")]
    if len(set(windows)) < len(windows):
        raise InvalidParameter(f"windows={shortened(text)} names one of them twice: name it once.")
    return tuple(sorted(windows))


def _rule(values: dict[str, str], default: Decimal) -> Rule:
    name = values.get("method", Method.RELATIVE.value)
    if name == Method.RELATIVE.value:
        threshold = values.get("threshold")
        return RelativeRule(default if threshold is None else parse_threshold(threshold))
    if name != Method.ROBUST.value:
        raise InvalidParameter(f"method={shortened(name)!r} is unknown: use relative or robust.")
    if "threshold" in values:
        raise InvalidParameter(
            "threshold belongs to method=relative: the robust method takes its measure from the "
            "recent changes. Leave one of the two out."
        )
    return RobustRule()
