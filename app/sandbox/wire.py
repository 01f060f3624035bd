"""The replies of Mercado Bitcoin as bytes: candles in both formats, tickers, symbols, errors.

What is marked "inferred" has never been recorded; everything else was seen on the wire or stands in
the exchange's own documentation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.core.market import Pair
from app.sandbox.book import Bar
from app.sandbox.faults import Fault
from app.utils.fixed_point import PLACES

ZERO = Decimal(0)
JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply; the server adds `Date`, `Server` and `Content-Length` to the headers.

    `sending` is what goes wrong while it is sent.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    sending: Fault | None = None


@dataclass(frozen=True, slots=True)
class Ticker:
    """The last day of trading in one pair; zeros where there was none."""

    pair: Pair
    high: Decimal
    low: Decimal
    volume: Decimal
    last: Decimal
    open: Decimal


ROUTE_NOT_FOUND = Reply(404, b'{"code":"API|ROUTE_NOT_FOUND","message":"This route not found"}')
COIN_NOT_FOUND = Reply(404, b'{"code":"API|COIN_NOT_FOUND","message":"This coin not found"}')


def problem(code: str, message: str, status: int = 400) -> Reply:
    """An error of the v4 API: `{"code": "DOMAIN|MODULE|ERROR", "message": …}`."""
    return _reply({"code": code, "message": message}, status)


def columns(bars: Sequence[Bar]) -> Reply:
    """v4 candles: one object of equal columns, prices and volumes as strings of eight places."""
    return _reply(
        {
            "t": [bar.stamp for bar in bars],
            "o": [eight_places(bar.open) for bar in bars],
            "h": [eight_places(bar.high) for bar in bars],
            "l": [eight_places(bar.low) for bar in bars],
            "c": [eight_places(bar.close) for bar in bars],
            "v": [eight_places(bar.volume) for bar in bars],
        }
    )


def legacy_candles(bars: Iterable[Bar], server_time: int) -> Reply:
    """Legacy candles: a list of objects with JSON numbers, under a status and the server's time."""
    # Written by hand, because the standard encoder knows no exact decimal number.
    rows = ",".join(
        f'{{"close":{shortest(bar.close)},"high":{shortest(bar.high)},"low":{shortest(bar.low)},'
        f'"open":{shortest(bar.open)},"timestamp":{bar.stamp},"volume":{shortest(bar.volume)}}}'
        for bar in bars
    )
    head = '"status_code":100,"status_message":"Success"'
    text = f'{{{head},"server_unix_timestamp":{server_time},"candles":[{rows}]}}'
    return Reply(200, text.encode())


def tickers(items: Iterable[Ticker], at: int) -> Reply:
    """v4 tickers, `date` in unix seconds. The order book is not simulated: buy and sell are last."""
    return _reply(
        [
            {
                "pair": item.pair.symbol,
                "high": eight_places(item.high),
                "low": eight_places(item.low),
                "vol": eight_places(item.volume),
                "last": eight_places(item.last),
                "buy": eight_places(item.last),
                "sell": eight_places(item.last),
                "open": eight_places(item.open),
                "date": at,
            }
            for item in items
        ]
    )


def symbols(pairs: Sequence[Pair]) -> Reply:
    """v4 symbols: one object of parallel arrays, in the order of `pairs`."""
    same: dict[str, Any] = {
        "deposit-minimum": "0.00001",
        "exchange-listed": True,
        "exchange-traded": True,
        "minmovement": "0.00000001",
        "pricescale": 10**PLACES,
        "session-regular": "24x7",
        "timezone": "America/Sao_Paulo",
        "type": "CRYPTO",
        "withdraw-minimum": "0.0003",
        "withdrawal-fee": "0.0002",
    }
    return _reply(
        {
            "symbol": [pair.symbol for pair in pairs],
            "description": [pair.base for pair in pairs],
            "currency": [pair.quote for pair in pairs],
            "base-currency": [pair.base for pair in pairs],
            **{key: [value] * len(pairs) for key, value in same.items()},
        }
    )


def eight_places(value: Decimal) -> str:
    """The number with eight decimal places; a finer one keeps all its digits, nothing is rounded."""
    whole, _, fraction = format(value, "f").partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(PLACES, '0')}"


def shortest(value: Decimal) -> str:
    """The number as the legacy API writes it: no trailing zeros, no exponent."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _reply(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value, separators=(",", ":")).encode())
