"""What a route may ask for, as annotated types: the query is read and judged here, once.

These functions are coroutines because FastAPI would send plain ones through the thread pool; none
of them waits for anything.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Depends, Request

from app.api.context import Context
from app.api.query import Parameter, Query, shortened
from app.core.errors import InvalidParameter, UnsupportedRange
from app.core.market import WINDOWS, Interval, Series, Window
from app.domain.times import moment
from app.services.averages import Asked, asked

_WINDOWS: Final = {str(window): window for window in WINDOWS}
_WHICH_WINDOWS: Final = "use one of " + ", ".join(_WINDOWS)
_INTEGER: Final = re.compile(r"-?[0-9]+", re.ASCII)

_MOMENT: Final = (
    "Unix seconds (`1704067200`), a date (`2024-01-01`) or a date-time with its zone "
    "(`2024-01-01T00:00:00Z`), inclusive."
)

FROM: Final = Parameter(
    "from",
    f"First moment. {_MOMENT} Default: `HISTORY_DAYS` - 1 days before `to`, for intervals below "
    "`1d` at most 10,000 buckets.",
    {"type": "string"},
    "2024-03-01",
    other_name="from_ts",
)
TO: Final = Parameter(
    "to",
    f"Last moment. {_MOMENT} A date means all of its day. Default: the last closed bucket.",
    {"type": "string"},
    "2024-03-29",
    other_name="to_ts",
)
RANGE: Final = Parameter(
    "range",
    "Length of the averaging window in buckets: 20, 50 or 200.",
    {"type": "integer", "enum": list(WINDOWS)},
    20,
    other_name="range_days",
    required=True,
)
ROWS_WINDOWS: Final = Parameter(
    "windows",
    "Averages to put beside each candle: any of 20, 50 and 200, with commas between.",
    {"type": "string"},
    "20,50,200",
)
INTERVAL: Final = Parameter(
    "interval",
    "Length of a candle. Default `1d`.",
    {"type": "string", "enum": [interval.value for interval in Interval], "default": "1d"},
    "1d",
)

AVERAGES: Final = Query(FROM, TO, RANGE, INTERVAL)
CANDLES: Final = Query(FROM, TO, ROWS_WINDOWS, INTERVAL)
RECORDS_LIMIT: Final = Parameter(
    "limit",
    "How many, 1 to 1,000. Default 100.",
    {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 100},
    100,
)

GAPS: Final = Query(INTERVAL)
RECORDS: Final = Query(INTERVAL, RECORDS_LIMIT)
NOTHING: Final = Query()


async def _context(request: Request) -> Context:
    found = request.scope["state"]["context"]
    assert isinstance(found, Context)
    return found


ContextDep = Annotated[Context, Depends(_context)]


async def _averages(request: Request, context: ContextDep) -> tuple[Asked, Window]:
    values = AVERAGES.read(request.scope["query_string"])
    return period(request, context, values), _window(values["range"], "range")


async def _candles(request: Request, context: ContextDep) -> tuple[Asked, tuple[Window, ...]]:
    values = CANDLES.read(request.scope["query_string"])
    windows = _windows(values["windows"]) if "windows" in values else ()
    return period(request, context, values), windows


async def _series(request: Request, context: ContextDep) -> Series:
    values = GAPS.read(request.scope["query_string"])
    return _named_series(request, context, values)


async def _records(request: Request, context: ContextDep) -> tuple[Series, int]:
    values = RECORDS.read(request.scope["query_string"])
    series = _named_series(request, context, values)
    return series, whole_number(values.get("limit", "100"), "limit", 1_000)


async def _nothing(request: Request) -> None:
    NOTHING.read(request.scope["query_string"])


async def _if_none_match(request: Request) -> str | None:
    # Several lines are one list (RFC 9110, 5.3). If-Modified-Since is not asked: it knows whole seconds,
    # and two loads may end within one.
    lines = request.headers.getlist("if-none-match")
    return ", ".join(lines) if lines else None


IfNoneMatch = Annotated[str | None, Depends(_if_none_match)]
AveragesDep = Annotated[tuple[Asked, Window], Depends(_averages)]
"""The buckets, and the window whose averages are wanted."""
CandlesDep = Annotated[tuple[Asked, tuple[Window, ...]], Depends(_candles)]
"""The buckets, and the windows whose averages are wanted beside the candles, ascending."""
RecordsDep = Annotated[tuple[Series, int], Depends(_records)]
"""The series, and how many records of it."""
SeriesDep = Annotated[Series, Depends(_series)]
NoParameters = Depends(_nothing)


def period(request: Request, context: Context, values: dict[str, str]) -> Asked:
    """The series and the buckets that a request asks for, from its path and query values."""
    runtime = context.runtime
    series = _named_series(request, context, values)
    since = moment(values["from"], "from") if "from" in values else None
    until = moment(values["to"], "to") if "to" in values else None
    return asked(series, since, until, runtime.settings.history_days, runtime.clock())


def whole_number(text: str, name: str, most: int) -> int:
    """A whole number from 1 to `most`. Raises InvalidParameter, which names the parameter."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= most:
        raise InvalidParameter(f"{name}={shortened(text)!r} is no whole number from 1 to {most:,}.")
    return number


def _named_series(request: Request, context: Context, values: dict[str, str]) -> Series:
    pair = context.pair(request.path_params["pair"])
    return Series(pair, context.interval(values.get("interval", Interval.DAY.value)))


def _window(text: str, name: str) -> Window:
    found = _WINDOWS.get(text)
    if found is not None:
        return found
    shown = shortened(text)
    if _INTEGER.fullmatch(text):
        raise UnsupportedRange(f"{name}={shown} is not computed: {_WHICH_WINDOWS}.")
    raise InvalidParameter(f"{name}={shown!r} is not a whole number: {_WHICH_WINDOWS}.")


def _windows(text: str) -> tuple[Window, ...]:
    windows = [_window(item, "windows") for item in text.split(",")]
    if len(set(windows)) < len(windows):
        raise InvalidParameter(f"windows={shortened(text)} names one of them twice: name it once.")
    return tuple(sorted(windows))
