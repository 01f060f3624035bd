"""The stand-in exchange's other answers, and what it remembers, without a socket."""

from __future__ import annotations

import pytest

from app.sandbox.exchange import MEMORY
from tests.support.exchange import CANDLES, T, ask, simulated


def test_symbols_are_one_object_of_parallel_arrays() -> None:
    reply = ask(simulated(), "/api/v4/symbols")
    assert {len(column) for column in reply.values()} == {6}
    assert (reply["symbol"][0], reply["base-currency"][0]) == ("BTC-BRL", "BTC")


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v4/candles/", "//[", "/v4/a/b/candle"],
)
def test_any_other_address_is_no_route(path: str) -> None:
    assert ask(simulated(), path, status=404) == {
        "code": "API|ROUTE_NOT_FOUND",
        "message": "This route not found",
    }


def test_the_exchange_remembers_what_it_was_asked_and_when() -> None:
    market = simulated(now=T + 1.5)
    market.answer(f"{CANDLES}&to={T}")
    market.answer("/nope")
    first, second = market.requests
    assert (first.at, first.path) == (T + 1.5, "/api/v4/candles")
    assert first.query == {"symbol": "BTC-BRL", "resolution": "1d", "to": str(T)}
    assert second.path == "/nope"
    market.forget_requests()
    assert market.requests == ()


def test_its_memory_is_bounded() -> None:
    market = simulated()
    for number in range(MEMORY + 10):
        market.answer(f"/{number}")
    assert len(market.requests) == MEMORY
    assert market.requests[-1].path == f"/{MEMORY + 9}"
