"""The parameters of queries: what each request takes, as it is read and as /docs shows it.

One declaration serves both. FastAPI's own parameters cost three quarters of a read, and cannot
refuse a repeated name (decision 0002).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from app.api.errors import shortened
from app.core.errors import InvalidParameter, RepeatedParameter, UnknownParameter
from app.core.market import WINDOWS, Window
from app.core.prices import THRESHOLD_SCHEMA
from app.domain.anomalies import Method
from app.domain.picture.themes import Theme
from app.domain.tables import Format
from app.domain.times import SCHEMA as MOMENT_SCHEMA
from app.services.averages import MAX_POINTS

LONGEST: Final = 2_048
"""The most bytes of query string that are read."""

IGNORED: Final = "_"
"""A parameter that any request may have: jQuery and others add it, so that no cache answers."""


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
    """The query parameters that one kind of request takes.

    `elsewhere` has what to say of parameters that only a similar request takes.
    """

    def __init__(self, *parameters: Parameter, **elsewhere: str) -> None:
        self.parameters = parameters
        self._elsewhere = elsewhere
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
        close = difflib.get_close_matches(shown.lower(), self._names, n=1, cutoff=0.7)
        hint = f" ({close[0]} is)" if close else ""
        if spelling in self._elsewhere:
            hint = f" ({self._elsewhere[spelling]})"
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
    f"First moment. {_MOMENT} Default: `HISTORY_DAYS` - 1 days before `to`; without `limit` at most "
    "10,000 buckets.",
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
    "Length of a candle. Default `1d`, where that is served.",
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
    "Collected at or after: unix seconds, a date or a date-time with its zone. Default: from the first.",
    MOMENT_SCHEMA,
    other_name="from_ts",
)
COLLECTED_TO: Final = Parameter(
    "to",
    "Collected at or before; a date means all of its day. Default: to the last.",
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

SPAN: Final = Parameter(
    "range",
    "Span of time that ends with the last closed bucket: hours (`6h`), days (`30d`), or `all` that is "
    f"served (`HISTORY_DAYS`). At most {MAX_POINTS:,} buckets. Default: the last 180 buckets.",
    {"type": "string", "pattern": "^(?:[1-9][0-9]{0,5}[hd]|all)$"},
)
LINES: Final = Parameter(
    "windows",
    "Averages to draw: any of 20, 50 and 200, with commas between, or `none`. Default: `20,50,200`.",
    {"type": "string", "pattern": f"^(?:none|{_lists(WINDOWS)})$"},
)
THEME: Final = Parameter(
    "theme",
    "Colours for a `light` (default) or a `dark` page.",
    {"type": "string", "enum": [theme.value for theme in Theme]},
)
LANGUAGE: Final = Parameter(
    "lang",
    "Language of the words, numbers and dates: `en` (default) or `pt-BR`, for which `pt` may stand.",
    {"type": "string", "enum": ["en", "pt-BR", "pt"]},
)

_ROWS: Final = (INTERVAL, ROWS_LIMIT, ORDER)
SHEET: Final = (TIME, LOCALE)
"""What belongs to CSV alone."""

_ONE_WINDOW: Final = "range=20 is one window; candles?windows=20,50 has several"
_WITH_CANDLES: Final = "windows=20 puts that average beside each candle"
_ALWAYS_CSV: Final = "this address is always CSV"

AVERAGES: Final = Query(RANGE, FROM, TO, *_ROWS, FORMAT, *SHEET, windows=_ONE_WINDOW)
AVERAGES_CSV: Final = Query(
    *(RANGE, FROM, TO, *_ROWS, *SHEET), windows=_ONE_WINDOW, format=_ALWAYS_CSV
)
CANDLES: Final = Query(FROM, TO, ROWS_WINDOWS, *_ROWS, FORMAT, *SHEET, range=_WITH_CANDLES)
CANDLES_CSV: Final = Query(
    *(FROM, TO, ROWS_WINDOWS, *_ROWS, *SHEET), range=_WITH_CANDLES, format=_ALWAYS_CSV
)
_ENDS_NOW: Final = "range=30d is a span of time that ends with the last closed bucket"
CHART: Final = Query(
    *(INTERVAL, SPAN, LINES, THEME, LANGUAGE),
    **{"from": _ENDS_NOW, "to": _ENDS_NOW, "limit": _ENDS_NOW},
)
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
