"""The stand-in exchange's candles: each quirk of the two wire formats, without a socket."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.market import DAY, Interval
from app.sandbox.book import Bar, ReplayBook
from app.sandbox.exchange import PAGE_LIMIT, Exchange
from tests.support.candles import BTC
from tests.support.exchange import CANDLES, FAR, T, ask, bar, sent, simulated, ten_days

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


def test_to_and_from_are_inclusive_so_that_n_days_back_are_n_plus_one_candles() -> None:
    to = T + 8 * DAY
    assert sent(ten_days(), f"{CANDLES}&from={to - 5 * DAY}&to={to}") == [3, 4, 5, 6, 7, 8]
    assert sent(ten_days(), f"{CANDLES}&from={to - 5 * DAY + 1}&to={to - 1}") == [4, 5, 6, 7]


def test_a_candle_that_has_not_begun_by_the_exchange_s_clock_is_not_sent() -> None:
    target = f"{CANDLES}&from={T + 7 * DAY}&to={FAR}"
    assert sent(ten_days(now=T + 9 * DAY - 1), target) == [7, 8]
    assert sent(ten_days(now=T + 9 * DAY), target) == [7, 8, 9]


def test_the_running_candle_s_close_moves_until_its_day_has_ended() -> None:
    target = f"{CANDLES}&from={T}&to={T}"
    running = ask(simulated(T + 36_000.0), target)["c"]
    final = ask(simulated(T + DAY), target)["c"]
    assert running != final
    assert ask(simulated(T + 90 * DAY), target)["c"] == final


def test_a_page_keeps_the_newest_candles_up_to_to() -> None:
    for first in (0, T - 2000 * DAY):
        target = f"{CANDLES}&from={first}&to={T - DAY}"
        assert sent(simulated(), target) == list(range(-PAGE_LIMIT, 0))


def test_an_interval_without_candles_is_an_empty_reply() -> None:
    target = f"/api/v4/candles?symbol=BTC-BRL&resolution=1m&to={FAR}"
    assert ask(ten_days(), target) == {key: [] for key in "tohlcv"}


@pytest.mark.parametrize("symbol", ["btc-brl", ""])
def test_a_symbol_that_is_not_exactly_right_is_refused(symbol: str) -> None:
    target = f"/api/v4/candles?symbol={symbol}&resolution=1d&to={FAR}"
    body = ask(ten_days(), target, status=400)
    assert body["code"] == "PUBLIC_DATA|LIST_CANDLES|SYMBOL_IS_INVALID"
    assert body["message"]


@pytest.mark.parametrize("resolution", ["4h", ""])
def test_an_unknown_resolution_is_refused_with_the_recorded_message(resolution: str) -> None:
    target = f"/api/v4/candles?symbol=BTC-BRL&resolution={resolution}&to={FAR}"
    message = ask(ten_days(), target, status=400)["message"]
    wanted = "The param {resolution} must be one of 1m, 15m, 1h, 3h, 1d, 1w, 1M(for months)"
    assert message == wanted


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", "TO_IS_INVALID"),
        (f"&to={T}&from=x", "FROM_IS_INVALID"),
    ],
)
def test_a_missing_or_malformed_bound_is_refused(query: str, error: str) -> None:
    assert ask(ten_days(), CANDLES + query, 400)["code"] == f"PUBLIC_DATA|LIST_CANDLES|{error}"


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


@pytest.mark.parametrize("name", ["BTC-BRL", "brlbtc"])
def test_a_legacy_pair_that_is_not_exactly_right_is_not_found(name: str) -> None:
    body = ask(ten_days(), f"/v4/{name}/candle?from=0&to={T}&precision=1d", status=404)
    assert body["code"] == "API|COIN_NOT_FOUND"


@pytest.mark.parametrize("query", [f"from=0&to={T}&precision=4h", "to=1&precision=1d"])
def test_a_wrong_legacy_request_is_refused(query: str) -> None:
    assert "INVALID" in ask(ten_days(), f"/v4/BRLBTC/candle?{query}", status=400)["code"]
