"""CoinGecko's `/simple/price` as the stand-in answers it: JSON numbers, its own error bodies.

Seen in recordings: the table by id and currency, what a request without `precision` gets, the slash
that may end the path. Documented: `precision`, `last_updated_at`, unknown ids left out, the bodies
with `error_code`. Met by other clients: 422 for a missing parameter, the wrong path's words.
Inferred: the refusal of a wrong `precision`; that an unknown currency is left out; when a number is
written with an exponent. Market caps, volumes, and coins by symbol or name are not simulated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

from app.sandbox.prices import PriceBoard, Quote
from app.sandbox.wire import Reply, shortest

THROTTLED: Final = Reply(
    429, b'{"status":{"error_code":429,"error_message":"You have exceeded the rate limit."}}'
)
ROUTE_NOT_FOUND: Final = Reply(
    404, b'{"error":"Incorrect path. Please check https://www.coingecko.com/api/"}'
)

_PLACES: Final = re.compile(r"[0-9]|1[0-8]", re.ASCII)
_ROUNDING: Final = Context(prec=100, rounding=ROUND_HALF_UP)
# Decimal places without `precision`, by the smallest price that has them: every recorded price fits.
_USUAL_PLACES: Final = ((10_000, 0), (10, 2), (1, 3), (Decimal("0.1"), 6))
_SMALLEST_PLAIN: Final = Decimal("0.0001")


def simple_price(board: PriceBoard, query: Mapping[str, str], now: float) -> Reply:
    """Answer with the coins of `ids` in the currencies of `vs_currencies` that are known."""
    failure = board.next_failure()
    if failure is not None:
        return failure
    for name in ("ids", "vs_currencies"):
        if not query.get(name, "").strip():
            return _refused(422, f"Missing parameter {name}")
    precision = query.get("precision", "")
    if precision not in ("", "full") and _PLACES.fullmatch(precision) is None:
        return _refused(400, "Invalid precision")
    ids = list(dict.fromkeys(item.strip() for item in query["ids"].split(",")))
    currencies = [item.strip().lower() for item in query["vs_currencies"].split(",")]
    timed = query.get("include_last_updated_at", "").lower() == "true"
    entries = [
        f"{json.dumps(coin_id)}:{_entry(quote, currencies, precision, timed)}"
        for coin_id, quote in board.quotes(ids, now).items()
    ]
    return Reply(200, f"{{{','.join(entries)}}}".encode())


def _entry(quote: Quote, currencies: list[str], precision: str, timed: bool) -> str:
    """One coin, written by hand because the standard encoder knows no exact decimal number."""
    fields = {
        currency: _number(quote.prices[currency], precision)
        for currency in currencies
        if currency in quote.prices
    }
    if timed:
        fields["last_updated_at"] = "null" if quote.updated_at is None else str(quote.updated_at)
    return f"{{{','.join(f'{json.dumps(name)}:{text}' for name, text in fields.items())}}}"


def _number(value: Decimal | None, precision: str) -> str:
    if value is None:
        return "null"
    if precision != "full":
        places = int(precision) if precision else _usual_places(value)
        value = value.quantize(Decimal(1).scaleb(-places), context=_ROUNDING)
    if 0 < abs(value) < _SMALLEST_PLAIN:
        digits = shortest(value.scaleb(-value.adjusted()))
        return f"{digits if '.' in digits else f'{digits}.0'}e-{-value.adjusted():02d}"
    return shortest(value)


def _usual_places(value: Decimal) -> int:
    return next((places for least, places in _USUAL_PLACES if value >= least), 8)


def _refused(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"error": message}, separators=(",", ":")).encode())
