"""The stand-in exchange's other answers, and what it keeps: limits, memory, edits; without a socket."""

from __future__ import annotations

import pytest

from app.core.market import DAY, Interval
from app.sandbox.book import CandleBook, ReplayBook
from app.sandbox.exchange import MEMORY, Exchange
from app.sandbox.simulation import Simulation
from tests.support.candles import BTC
from tests.support.exchange import CANDLES, T, ask, bar, sent, simulated, ten_days

# tickers, symbols, the rest


def test_tickers_hold_the_last_day_in_strings_with_the_date_in_seconds() -> None:
    market = simulated(T + 5000.0)
    (ticker,) = ask(market, "/api/v4/tickers?symbols=BTC-BRL")
    day = market.book.candles(BTC, Interval.MINUTE, T + 5001 - DAY, T + 5000, T + 5000)
    assert ticker == {
        "pair": "BTC-BRL",
        "high": f"{max(b.high for b in day):.8f}",
        "low": f"{min(b.low for b in day):.8f}",
        "vol": f"{sum(b.volume for b in day):.8f}",
        "last": f"{day[-1].close:.8f}",
        "buy": f"{day[-1].close:.8f}",
        "sell": f"{day[-1].close:.8f}",
        "open": f"{day[0].open:.8f}",
        "date": T + 5000,
    }


def test_unknown_tickers_are_dropped_silently() -> None:
    def pairs(symbols: str) -> list[str]:
        found = ask(simulated(), f"/api/v4/tickers?symbols={symbols}")
        return [ticker["pair"] for ticker in found]

    assert pairs("ZZZ-BRL,ETH-BRL,eth-brl,BTC-BRL") == ["ETH-BRL", "BTC-BRL"]
    assert pairs("ZZZ-BRL") == []


@pytest.mark.parametrize("query", ["", "?symbols="])
def test_tickers_need_symbols(query: str) -> None:
    assert ask(simulated(), f"/api/v4/tickers{query}", status=400) == {
        "code": "PUBLIC_DATA|LIST_TICKERS|SYMBOLS_IS_REQUIRED",
        "message": "The param {symbols} must not be empty",
    }


def test_a_pair_that_has_not_traded_for_a_day_has_only_its_last_price() -> None:
    (ticker,) = ask(ten_days(now=T + 50 * DAY), "/api/v4/tickers?symbols=BTC-BRL")
    assert ticker["last"] == "262064.00000000"
    assert ticker["vol"] == ticker["high"] == ticker["open"] == "0.00000000"


def test_a_pair_without_any_candle_has_a_ticker_of_zeros() -> None:
    (ticker,) = ask(ten_days(now=T - DAY), "/api/v4/tickers?symbols=BTC-BRL")
    assert ticker["last"] == "0.00000000"


def test_symbols_are_one_object_of_parallel_arrays_in_no_stable_order() -> None:
    market = simulated()
    replies = [ask(market, "/api/v4/symbols") for _ in range(3)]
    for reply in replies:
        assert {len(column) for column in reply.values()} == {6}
        for symbol, base, quote in zip(
            reply["symbol"], reply["base-currency"], reply["currency"], strict=True
        ):
            assert symbol == f"{base}-{quote}"
        assert set(reply["pricescale"]) == {100_000_000}
    assert replies[0]["symbol"] != replies[1]["symbol"]
    assert set(replies[0]["symbol"]) == set(replies[1]["symbol"])


def test_symbols_can_be_asked_for_by_name() -> None:
    reply = ask(simulated(), "/api/v4/symbols?symbols=BTC-BRL,ZZZ-BRL")
    assert reply["symbol"] == ["BTC-BRL"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nope",
        "/api/v4",
        "/api/v4/candles/",
        "/candles",
        "/v4/BRLBTC",
        "//[",
        "/v4/a/b/candle",
    ],
)
def test_any_other_address_is_no_route(path: str) -> None:
    assert ask(simulated(), path, status=404) == {
        "code": "API|ROUTE_NOT_FOUND",
        "message": "This route not found",
    }


# limits, memory, edits


def test_requests_beyond_the_rate_are_refused_until_time_has_passed() -> None:
    ticks = [50.0]
    market = simulated(requests_per_second=1.0, ticks=lambda: ticks[0])
    ask(market, "/api/v4/symbols")
    assert ask(market, "/api/v4/symbols", status=429)["code"] == "REQUEST_RATE_EXCEEDED"
    ask(market, "/api/v4/tickers?symbols=BTC-BRL")  # each address has its own count
    ticks[0] += 0.5
    ask(market, "/api/v4/symbols", status=429)
    ticks[0] += 0.5
    ask(market, "/api/v4/symbols")
    ask(market, "/api/v4/symbols", status=429)


def test_a_client_that_keeps_to_the_rate_is_never_refused() -> None:
    ticks = [0.0]
    market = simulated(requests_per_second=5.0, ticks=lambda: ticks[0])
    for _ in range(500):
        ask(market, "/api/v4/symbols")
        ticks[0] += 0.2


def test_no_rate_is_set_by_default() -> None:
    market = simulated()
    for _ in range(50):
        ask(market, "/api/v4/symbols")


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


def test_edits_of_the_book_show_in_the_next_reply() -> None:
    market = ten_days()
    target = f"{CANDLES}&from={T}&to={T + 3 * DAY}"
    before = market.answer(target).body
    market.book.remove(BTC, T + DAY, T + 2 * DAY)
    assert sent(market, target) == [0, 3]
    market.book.restore(BTC, T + DAY, T + 2 * DAY)
    market.book.replace(BTC, Interval.DAY, [bar(T, "5")])
    assert ask(market, target)["c"][0] == "5.00000000"
    market.book.reset()
    assert market.answer(target).body == before


@pytest.mark.parametrize(
    ("book", "name"),
    [
        (Simulation(1), "mms-sandbox (simulated)"),
        (ReplayBook({(BTC, Interval.DAY): []}), "mms-sandbox (replay)"),
    ],
)
def test_the_server_s_name_says_what_it_is(book: CandleBook, name: str) -> None:
    assert Exchange(book, clock=lambda: T).server_name == name
