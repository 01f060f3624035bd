"""A stand-in exchange with a few days of candles, and questions to it without a socket."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from app.core.market import DAY
from app.sandbox.book import Bar, ReplayBook
from app.sandbox.exchange import Exchange
from app.sandbox.simulation import Simulation
from tests.support.candles import BTC_DAILY

T = 1_700_006_400  # 2023-11-15 00:00 UTC
FAR = T + 9000 * DAY
CANDLES = "/api/v4/candles?symbol=BTC-BRL&resolution=1d"


def bar(stamp: int, close: str = "262064") -> Bar:
    return Bar(
        stamp, Decimal(close), Decimal(close), Decimal(close), Decimal(close), Decimal("0.5")
    )


def ten_days(now: float = T + 9 * DAY + 5) -> Exchange:
    book = ReplayBook({BTC_DAILY: [bar(T + n * DAY) for n in range(10)]})
    return Exchange(book, clock=lambda: now)


def simulated(now: float = T + 3600.0) -> Exchange:
    return Exchange(Simulation(1), clock=lambda: now)


def ask(market: Exchange, target: str, status: int = 200) -> Any:
    reply = market.answer(target)
    assert (reply.status, reply.content_type) == (status, "application/json; charset=utf-8")
    return json.loads(reply.body, parse_float=Decimal)


def sent(market: Exchange, target: str) -> list[int]:
    """Which days the reply holds, counted from T."""
    return [(stamp - T) // DAY for stamp in ask(market, target)["t"]]
