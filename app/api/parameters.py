"""What requests ask for: path, query and conditions, each read and checked once.

The dependencies here are coroutines, because FastAPI would send plain functions through the thread
pool. None of them waits for anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Final, NamedTuple

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from app.api.context import Context
from app.api.errors import shortened
from app.api.negotiation import format_of
from app.api.queries import (
    ANOMALIES,
    ANOMALY,
    AVERAGES,
    AVERAGES_CSV,
    CANDLES,
    CANDLES_CSV,
    CHART,
    FORMAT,
    FROM,
    GAPS,
    HISTORY,
    INTERVAL,
    LANGUAGE,
    LATEST,
    LOCALE,
    NOTHING,
    ORDER,
    PRICES_LIMIT,
    RANGE,
    RECORDS,
    RECORDS_LIMIT,
    ROWS_LIMIT,
    SHEET,
    SPAN,
    THEME,
    TIME,
    TO,
    Parameter,
)
from app.core.errors import (
    InvalidParameter,
    UnsupportedRange,
    UnsupportedSymbol,
)
from app.core.market import DAY, WINDOWS, Interval, Series, Window
from app.core.prices import Coin, parse_threshold
from app.domain.anomalies import Method, RelativeRule, RobustRule, Rule
from app.domain.picture.scales import HOUR
from app.domain.picture.themes import Theme
from app.domain.picture.words import Language
from app.domain.tables import Format, Layout
from app.domain.times import Moment, moment, require_order
from app.services.averages import MAX_POINTS, Selection, select

_WINDOWS: Final = {str(window): window for window in WINDOWS}
_WHICH_WINDOWS: Final = "use one of " + ", ".join(_WINDOWS)
_DAY: Final = Interval.DAY.value
_UNITS: Final = {"h": HOUR, "d": DAY}
_INTEGER: Final = re.compile(r"-?[0-9]+", re.ASCII)


SHOWN: Final = 180
"""Buckets that a picture shows unless it is asked for a span."""

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


class PictureRequest(NamedTuple):
    """A request for a picture of a series, with the averages over these `windows`."""

    buckets: Selection
    windows: tuple[Window, ...]
    theme: Theme
    language: Language


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


async def _picture(request: Request, context: ContextDep) -> PictureRequest:
    values = CHART.read(_query(request))
    language = _choice(values, LANGUAGE, "en")
    lines = values.get("windows")
    return PictureRequest(
        _span(context, _pair(request), values),
        () if lines == "none" else WINDOWS if lines is None else _windows(lines),
        Theme(_choice(values, THEME, "light")),
        Language("pt-BR" if language == "pt" else language),
    )


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
PictureDep = Annotated[PictureRequest, Depends(_picture)]
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


def _span(context: Context, pair: str, values: dict[str, str]) -> Selection:
    """The series and the buckets of a picture: those of a span of time that ends now."""
    series = _named_series(context, pair, values)
    step, text, days = series.step, values.get(SPAN.name), context.history_days
    count = SHOWN
    if text is not None:
        if re.fullmatch(SPAN.schema["pattern"], text, re.ASCII) is None:
            raise InvalidParameter(
                f"range={shortened(text)!r} is no span of time: use hours (6h), days (30d) or all."
            )
        amount, unit = (days, "d") if text == "all" else (int(text[:-1]), text[-1])
        # Whole buckets that cover the span: 6h of days are one.
        count = -(-amount * _UNITS[unit] // step)
    if count > MAX_POINTS:
        raise InvalidParameter(
            f"range={text} is {count:,} buckets of {series.interval}; a picture shows at most "
            f"{MAX_POINTS:,}: use at most range={MAX_POINTS * step // HOUR}h, or a longer interval."
        )
    now = context.runtime.clock()
    closed = series.interval.last_closed(now)
    return Selection(series, closed - (count - 1) * step, closed, closed, now, days)


def _layout(values: dict[str, str], request: Request) -> Layout:
    """The format of the rows: the parameter's, else what Accept prefers."""
    given = FORMAT.name in values
    chosen = Format(_choice(values, FORMAT, "")) if given else format_of(request)
    if chosen is Format.CSV:
        return _csv_layout(values)
    for parameter in SHEET:
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
    if name == RANGE.name and all(item in _WINDOWS for item in text.split(",")):
        raise InvalidParameter(
            f"{name}={shown} is more than one window, and this request answers one: the same pair's "
            f"candles?windows={shown} has several."
        )
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
