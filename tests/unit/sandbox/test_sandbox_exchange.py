"""The stand-in exchange's answers: each quirk of the two wire formats, without a socket."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from app.core.market import DAY, Interval, Pair
from app.sandbox.book import Bar, CandleBook, ReplayBook
from app.sandbox.exchange import MEMORY, Exchange
from app.sandbox.simulation import Simulation

BTC, ETH = Pair("BTC", "BRL"), Pair("ETH", "BRL")
T = 1_700_006_400  # 2023-11-15 00:00 UTC
FAR = T + 9000 * DAY
CANDLES = "/api/v4/candles?symbol=BTC-BRL&resolution=1d"


def bar(stamp: int, close: str = "262064") -> Bar:
    return Bar(
        stamp, Decimal(close), Decimal(close), Decimal(close), Decimal(close), Decimal("0.5")
    )


def exchange(stamps: list[int], now: float = T + 9 * DAY, **options: Any) -> Exchange:
    book = ReplayBook({(BTC, Interval.DAY): [bar(stamp) for stamp in stamps]})
    return Exchange(book, clock=lambda: now, **options)


def ten_days(now: float = T + 9 * DAY + 5, **options: Any) -> Exchange:
    return exchange([T + n * DAY for n in range(10)], now, **options)


def simulated(now: float = T + 3600.0, **options: Any) -> Exchange:
    return Exchange(Simulation(1), clock=lambda: now, **options)


def ask(market: Exchange, target: str, status: int = 200) -> Any:
    reply = market.answer(target)
    assert (reply.status, reply.content_type) == (status, "application/json; charset=utf-8")
    return json.loads(reply.body, parse_float=Decimal)


def sent(market: Exchange, target: str) -> list[int]:
    """Which days the reply holds, counted from T."""
    return [(stamp - T) // DAY for stamp in ask(market, target)["t"]]


# v4 candles


def test_v4_candles_are_columns_with_decimal_strings_of_eight_places() -> None:
    book = ReplayBook(
        {(BTC, Interval.DAY): [Bar(T, *map(Decimal, ("1", "2.5", "0.1", "1.00000001", "7E+2")))]}
    )
    reply = Exchange(book, clock=lambda: T).answer(f"{CANDLES}&to={T}")
    assert reply.body == (
        b'{"t":[1700006400],"o":["1.00000000"],"h":["2.50000000"],"l":["0.10000000"],'
        b'"c":["1.00000001"],"v":["700.00000000"]}'
    )


def test_a_price_finer_than_the_tick_is_sent_with_all_its_digits() -> None:
    market = Exchange(ReplayBook({(BTC, Interval.DAY): [bar(T, "1.000000001")]}), clock=lambda: T)
    assert ask(market, f"{CANDLES}&to={T}")["c"] == ["1.000000001"]


def test_zeros_beyond_the_eighth_place_are_not_sent() -> None:
    market = Exchange(ReplayBook({(BTC, Interval.DAY): [bar(T, "1.10000000000")]}), clock=lambda: T)
    assert ask(market, f"{CANDLES}&to={T}")["c"] == ["1.10000000"]


def test_to_and_from_are_inclusive_so_that_n_days_back_are_n_plus_one_candles() -> None:
    to = T + 8 * DAY
    assert sent(ten_days(), f"{CANDLES}&from={to - 5 * DAY}&to={to}") == [3, 4, 5, 6, 7, 8]
    assert sent(ten_days(), f"{CANDLES}&from={to - 5 * DAY + 1}&to={to - 1}") == [4, 5, 6, 7]


def test_countback_beats_from() -> None:
    assert sent(ten_days(), f"{CANDLES}&from={T}&to={T + 5 * DAY}&countback=2") == [4, 5]
    assert sent(ten_days(), f"{CANDLES}&from={T + 5 * DAY}&to={T + 5 * DAY}&countback=3") == [
        3,
        4,
        5,
    ]


def test_countback_counts_candles_not_buckets() -> None:
    market = exchange([T, T + DAY, T + 8 * DAY])
    assert sent(market, f"{CANDLES}&to={FAR}&countback=2") == [1, 8]


def test_with_to_in_the_future_the_running_candle_is_last_and_unmarked() -> None:
    reply = ask(ten_days(), f"{CANDLES}&to={FAR}&countback=2")
    assert [(stamp - T) // DAY for stamp in reply["t"]] == [8, 9]
    assert set(reply) == set("tohlcv")


def test_a_candle_that_has_not_begun_by_the_exchange_s_clock_is_not_sent() -> None:
    assert sent(ten_days(now=T + 9 * DAY - 1), f"{CANDLES}&to={FAR}&countback=2") == [7, 8]


def test_the_running_candle_s_close_moves_until_its_day_has_ended() -> None:
    target = f"{CANDLES}&from={T}&to={T}"
    running = ask(simulated(T + 36_000.0), target)["c"]
    final = ask(simulated(T + DAY), target)["c"]
    assert running != final
    assert ask(simulated(T + 90 * DAY), target)["c"] == final


def test_absent_buckets_are_absent() -> None:
    assert sent(exchange([T, T + 3 * DAY]), f"{CANDLES}&from={T}&to={FAR}") == [0, 3]


def test_a_page_keeps_the_newest_candles_up_to_to() -> None:
    market = ten_days(page_limit=3)
    assert sent(market, f"{CANDLES}&from={T}&to={FAR}") == [7, 8, 9]
    assert sent(market, f"{CANDLES}&from={T}&to={T + 6 * DAY}") == [4, 5, 6]
    assert sent(market, f"{CANDLES}&to={FAR}&countback=7") == [7, 8, 9]


def test_by_default_a_page_ends_after_a_thousand_candles() -> None:
    assert len(ask(simulated(), f"{CANDLES}&from=0&to={FAR}")["t"]) == 1000


def test_a_reversed_period_is_empty() -> None:
    assert sent(ten_days(), f"{CANDLES}&from={T + DAY}&to={T}") == []


@pytest.mark.parametrize("resolution", ["1m", "1h", "1w", "1M"])
def test_a_resolution_without_candles_is_an_empty_reply(resolution: str) -> None:
    target = f"/api/v4/candles?symbol=BTC-BRL&resolution={resolution}&to={FAR}&countback=5"
    assert ask(ten_days(), target) == {key: [] for key in "tohlcv"}


@pytest.mark.parametrize("symbol", ["BTCBRL", "BTC/BRL", "btc-brl", "BRLBTC", "NOPE-BRL", ""])
def test_a_symbol_that_is_not_exactly_right_is_refused(symbol: str) -> None:
    target = f"/api/v4/candles?symbol={symbol}&resolution=1d&to={FAR}"
    body = ask(ten_days(), target, status=400)
    assert body["code"] == "PUBLIC_DATA|LIST_CANDLES|SYMBOL_IS_INVALID"
    assert body["message"]


@pytest.mark.parametrize("resolution", ["4h", "30m", "1D", "", "60"])
def test_an_unknown_resolution_is_refused_with_the_recorded_message(resolution: str) -> None:
    target = f"/api/v4/candles?symbol=BTC-BRL&resolution={resolution}&to={FAR}"
    message = ask(ten_days(), target, status=400)["message"]
    wanted = "The param {resolution} must be one of 1m, 15m, 1h, 3h, 1d, 1w, 1M(for months)"
    assert message == wanted


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", "TO_IS_REQUIRED"),
        ("&to=", "TO_IS_REQUIRED"),
        ("&to=soon", "TO_IS_INVALID"),
        ("&to=1.5", "TO_IS_INVALID"),
        ("&to=" + "9" * 5000, "TO_IS_INVALID"),
        (f"&to={T}&from=x", "FROM_IS_INVALID"),
        (f"&to={T}&countback=x", "COUNTBACK_IS_INVALID"),
        (f"&to={T}&countback=0", "COUNTBACK_IS_INVALID"),
        (f"&to={T}&countback=-1", "COUNTBACK_IS_INVALID"),
    ],
)
def test_a_missing_or_malformed_bound_is_refused(query: str, error: str) -> None:
    assert ask(ten_days(), CANDLES + query, 400)["code"] == f"PUBLIC_DATA|LIST_CANDLES|{error}"


def test_without_from_and_countback_the_newest_page_is_sent() -> None:
    assert sent(ten_days(page_limit=2), f"{CANDLES}&to={FAR}") == [8, 9]


# legacy candles


def test_legacy_candles_are_objects_with_json_numbers_under_the_server_s_time() -> None:
    book = ReplayBook(
        {(BTC, Interval.DAY): [Bar(T, *map(Decimal, ("1.50", "2.5", "0.1", "262064.0", "7E+2")))]}
    )
    market = Exchange(book, clock=lambda: T + 7.9)
    reply = market.answer(f"/v4/BRLBTC/candle?from={T}&to={FAR}&precision=1d")
    assert reply.body == (
        b'{"status_code":100,"status_message":"Success","server_unix_timestamp":1700006407,'
        b'"candles":[{"close":262064,"high":2.5,"low":0.1,"open":1.5,"timestamp":1700006400,'
        b'"volume":700}]}'
    )


def test_legacy_from_rounds_up_to_the_next_bucket_and_to_is_inclusive() -> None:
    target = f"/v4/BRLBTC/candle?from={T + 1}&to={T + 3 * DAY}&precision=1d"
    rows = ask(ten_days(), target)["candles"]
    assert [(row["timestamp"] - T) // DAY for row in rows] == [1, 2, 3]


def test_legacy_pages_keep_the_newest_candles_with_the_running_one_last() -> None:
    target = f"/v4/BRLBTC/candle?from=0&to={FAR}&precision=1d"
    rows = ask(ten_days(page_limit=2), target)["candles"]
    assert [(row["timestamp"] - T) // DAY for row in rows] == [8, 9]


@pytest.mark.parametrize("name", ["BTC-BRL", "BTCBRL", "brlbtc", "BRLNOPE"])
def test_a_legacy_pair_that_is_not_exactly_right_is_not_found(name: str) -> None:
    body = ask(ten_days(), f"/v4/{name}/candle?from=0&to={T}&precision=1d", status=404)
    assert body["code"] == "API|COIN_NOT_FOUND"


@pytest.mark.parametrize(
    "query", ["", f"from=0&to={T}", f"from=0&to={T}&precision=4h", "to=1&precision=1d"]
)
def test_a_wrong_legacy_request_is_refused(query: str) -> None:
    assert "INVALID" in ask(ten_days(), f"/v4/BRLBTC/candle?{query}", status=400)["code"]


def test_both_formats_say_the_same_of_the_same_days() -> None:
    market = simulated(T + 5000.0)
    columns = ask(market, f"{CANDLES}&from={T - 300 * DAY}&to={T}")
    target = f"/v4/BRLBTC/candle?from={T - 300 * DAY}&to={T}&precision=1d"
    rows = ask(market, target)["candles"]
    assert len(rows) == 301
    names = {"t": "timestamp", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    for short, name in names.items():
        assert [Decimal(value) for value in columns[short]] == [Decimal(row[name]) for row in rows]


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
