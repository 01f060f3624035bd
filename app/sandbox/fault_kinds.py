"""What can be made to go wrong at the stand-in: every kind of fault, its parameters, and what it does.

Data only. What a kind does to candles is in `fault_candles`, to a reply in `fault_replies`, to the
connection in `fault_sending`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.sandbox.fault_parameters import (
    CANDLES,
    PRICES,
    TICKERS,
    Acts,
    Kind,
    Parameter,
    anything,
    candle,
    decimal,
    factor,
    number,
    one_of,
    whole,
)

LINK_LOCAL: Final = "http://169.254.169.254/latest/meta-data/"
"""Where clouds keep their machines' secrets: the address that no redirect may lead to."""

_FIELDS: Final = ("open", "high", "low", "close", "volume")
_SECONDS: Final = 3_600

# The last candle of a reply is mostly the running one, so by default the last but one is meant.
_CANDLE: Final = {"candle": candle("-2")}
_AT: Final = {"at": one_of(("head", "body"), "head")}
_FRAMING: Final = {"framing": one_of(("length", "close", "chunked"), "length")}
_ONLY_CANDLES: Final = frozenset({CANDLES})
_NUMBERS: Final = frozenset({CANDLES, PRICES})


def _market(
    name: str,
    says: str,
    value: Parameter | None = None,
    options: Mapping[str, Parameter] = _CANDLE,
    subjects: frozenset[str] = _ONLY_CANDLES,
) -> Kind:
    return Kind(name, Acts.MARKET, says, value, options, subjects)


_ALL: Final = (
    Kind(
        "status",
        Acts.REPLY,
        "answer with this HTTP status; retry-after goes out as written, date+N as a date in N s",
        whole(200, 599),
        {
            "retry-after": anything("any text, or date+N, date-N", ""),
            "body": one_of(("auto", "json", "html", "text", "empty"), "auto"),
        },
    ),
    Kind(
        "redirect",
        Acts.REPLY,
        f"redirect, to {LINK_LOCAL} where no other URL is named",
        anything("a URL", LINK_LOCAL, "URL"),
        {"status": whole(300, 399, "302")},
    ),
    Kind(
        "answer",
        Acts.REPLY,
        "answer 200 with {}, null, [], 1, a page of HTML, an error body, words, or nothing",
        one_of(("object", "null", "list", "number", "html", "error", "text", "empty")),
    ),
    Kind(
        "nested",
        Acts.REPLY,
        "answer 200 with so many brackets, one inside the other",
        whole(1, 4_000_000, "100000"),
    ),
    Kind(
        "value",
        Acts.BODY,
        'put raw JSON in place of a value: NaN, Infinity, 1e400, null, true, [], "x"',
        anything("raw JSON, right or wrong", shown="JSON"),
        {"field": anything("a field such as open, timestamp or usd", ""), **_CANDLE},
        _NUMBERS,
    ),
    Kind(
        "columns",
        Acts.BODY,
        "make one column a value shorter (legacy: leave a field of the last candle out)",
        one_of(("timestamp", *_FIELDS), "close"),
        subjects=_ONLY_CANDLES,
    ),
    Kind("extra", Acts.BODY, "add fields that nobody knows", subjects=_NUMBERS),
    Kind("duplicate-key", Acts.BODY, "give the body's first key a second time", subjects=_NUMBERS),
    _market(
        "scale",
        "multiply every price, or divide it by /N",
        factor(),
        {},
        frozenset({CANDLES, PRICES, TICKERS}),
    ),
    _market(
        "duplicate",
        "send a candle twice, the second time equal or with another close",
        one_of(("equal", "different"), "equal"),
    ),
    _market("missing", "leave a candle out"),
    _market(
        "order",
        "send the candles in another order",
        one_of(("shuffled", "reversed"), "shuffled"),
        {},
    ),
    _market(
        "running",
        "send the running candle at another place",
        one_of(("first", "middle"), "first"),
        {},
    ),
    _market(
        "price",
        "set a price (or the volume) of a candle to a number such as 0 or -5",
        decimal(),
        {"field": one_of(_FIELDS, "close"), **_CANDLE},
    ),
    _market("crossed", "put a candle's high below its low"),
    _market(
        "outside",
        "put a candle's open or close outside its high and low",
        one_of(("open", "close"), "close"),
        {"side": one_of(("above", "below"), "above"), **_CANDLE},
    ),
    _market(
        "stamp",
        "stamp a candle off the grid, in milli- or microseconds, ten buckets ahead, before 2011",
        one_of(("off-grid", "ms", "us", "future", "ancient")),
    ),
    _market(
        "revise",
        "multiply a candle's close, or all its prices, as when a closed candle is corrected",
        factor("1.01"),
        {"prices": one_of(("close", "all"), "close"), **_CANDLE},
    ),
    Kind("refuse", Acts.SENDING, "close the connection without a word"),
    Kind(
        "reset",
        Acts.SENDING,
        "reset the connection (RST), before a word or in the middle of the body",
        options=_AT,
    ),
    Kind(
        "slow",
        Acts.SENDING,
        "wait so many seconds before the first byte, or before the body",
        number(0, _SECONDS, "5"),
        _AT,
    ),
    Kind(
        "hang",
        Acts.SENDING,
        "say nothing more for so many seconds, then close",
        number(0, _SECONDS, "3600"),
        _AT,
    ),
    Kind(
        "trickle",
        Acts.SENDING,
        "send a byte every so many seconds, from the first one on or from the body on",
        number(0.0001, _SECONDS, "1"),
        _AT,
    ),
    Kind(
        "cut",
        Acts.SENDING,
        "close in the middle of the body (after keep bytes), its length announced or not",
        options={**_FRAMING, "keep": whole(0, 1_000_000, "")},
    ),
    Kind(
        "flood",
        Acts.SENDING,
        "send so many megabytes: an endless body, or an endless header",
        whole(1, 1_000_000, "1000"),
        {"at": one_of(("head", "body"), "body"), **_FRAMING},
    ),
    Kind(
        "gzip-bomb",
        Acts.SENDING,
        "send a small gzip body that holds so many megabytes",
        whole(1, 1_000_000, "1000"),
    ),
)

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in _ALL}
"""Every kind by its name."""

COMMON: Final[Mapping[str, Parameter]] = {
    "path": anything("a text that the path and query contain, such as candles or BTC-BRL", ""),
    "after": whole(0, 10**9, "0"),
    "times": whole(1, 10**9, ""),
    "seconds": number(0.001, 10**9, ""),
}
"""The parameters of every kind: which requests it is for, how many to let pass, how many to hit, and
for how long."""


def described() -> list[str]:
    """One line for each kind: how it is written and what it does."""
    return [f"  {_usage(kind)}: {kind.says}" for kind in _ALL]


def _usage(kind: Kind) -> str:
    options = "".join(f"[,{name}={option.shown}]" for name, option in kind.options.items())
    if kind.value is None:
        return kind.name + options
    value = f"={kind.value.shown}"
    return f"{kind.name}{value if kind.value.default is None else f'[{value}]'}{options}"
