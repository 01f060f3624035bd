"""The wire formats: a reply, and the bodies of Mercado Bitcoin and CoinGecko as bytes.

Bodies with prices are written by hand: the standard encoder has no exact decimal number.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from app.core.market import Pair
from app.domain.fixed_point import PLACES
from app.sandbox.book import Bar, Raw

JSON: Final = "application/json; charset=utf-8"
FIELDS: Final = {
    "timestamp": "stamp",
    **{name: name for name in ("open", "high", "low", "close", "volume")},
}
"""The legacy format's field names → those of `Bar`. v4 uses the first letters."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply; the server adds `Date`, `Server` and `Content-Length` to the headers.

    `send` replaces the usual way, which is to send all of it at once.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    send: Callable[[Outgoing], None] | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A reply and its connection.

    `head` gives the status line and headers as bytes; further (name, value) headers are arguments.
    """

    connection: socket.socket
    head: Callable[..., bytes]
    body: bytes

    def opening(self) -> bytes:
        """The head with the true length."""
        return self.head(("Content-Length", str(len(self.body))))

    def waited(self, seconds: float) -> bool:
        """Wait; return False as soon as the client or the server has closed the connection."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.connection.settimeout(left)
            try:
                if not self.connection.recv(65_536):
                    return False
            except TimeoutError:
                break
        self.connection.settimeout(None)
        return True


def as_json(value: Any, status: int = 200) -> Reply:
    """A reply with any JSON."""
    return Reply(status, json.dumps(value, separators=(",", ":")).encode())


def problem(code: str, message: str, status: int = 400) -> Reply:
    """An error of the v4 API: `{"code": "DOMAIN|MODULE|ERROR", "message": …}`."""
    return as_json({"code": code, "message": message}, status)


ROUTE_NOT_FOUND: Final = problem("API|ROUTE_NOT_FOUND", "This route not found", 404)


def columns(bars: Sequence[Bar]) -> Reply:
    """v4 candles: one object of equal columns, prices and volumes as strings of eight places."""
    parts = [
        f'"{field[0]}":[{",".join(_text(getattr(bar, name)) for bar in bars)}]'
        for field, name in FIELDS.items()
    ]
    return Reply(200, f"{{{','.join(parts)}}}".encode())


def legacy_candles(bars: Sequence[Bar], server_time: int) -> Reply:
    """Legacy candles: a list of objects with JSON numbers, under a status and the server's time."""
    rows = [
        ",".join(
            f'"{field}":{number(getattr(bar, name))}' for field, name in sorted(FIELDS.items())
        )
        for bar in bars
    ]
    head = '"status_code":100,"status_message":"Success"'
    candles = ",".join(f"{{{row}}}" for row in rows)
    return Reply(
        200, f'{{{head},"server_unix_timestamp":{server_time},"candles":[{candles}]}}'.encode()
    )


def symbols(pairs: Sequence[Pair]) -> Reply:
    """v4 symbols: one object of parallel arrays."""
    return as_json(
        {
            "symbol": [pair.symbol for pair in pairs],
            "base-currency": [pair.base for pair in pairs],
            "currency": [pair.quote for pair in pairs],
            "exchange-traded": [True] * len(pairs),
            "pricescale": [10**PLACES] * len(pairs),
        }
    )


def spot_prices(coins: Mapping[str, Mapping[str, Decimal | None]]) -> Reply:
    """CoinGecko's table by id and currency, as JSON numbers in full precision."""
    entries = [
        f"{json.dumps(coin)}:{{{','.join(f'{json.dumps(k)}:{number(v)}' for k, v in entry.items())}}}"
        for coin, entry in coins.items()
    ]
    return Reply(200, f"{{{','.join(entries)}}}".encode())


def number(value: Decimal | int | Raw | None) -> str:
    """A number without trailing zeros or an exponent, or null."""
    if value is None:
        return "null"
    if isinstance(value, Raw):
        return value
    text = format(Decimal(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _text(value: Decimal | int | Raw | None) -> str:
    """v4's numbers: text of eight decimal places; a finer number keeps all its digits."""
    if not isinstance(value, Decimal):
        return number(value)
    whole, _, fraction = format(value, "f").partition(".")
    return f'"{whole}.{fraction.rstrip("0").ljust(PLACES, "0")}"'
