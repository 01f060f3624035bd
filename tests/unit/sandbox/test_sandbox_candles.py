"""The stand-in exchange's candles: each quirk of the two wire formats, without a socket."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.market import DAY
from app.sandbox.book import Bar, ReplayBook
from app.sandbox.exchange import PAGE_LIMIT, Exchange
from tests.support.candles import BTC_DAILY
from tests.support.exchange import CANDLES, FAR, T, ask, bar, sent, simulated, ten_days

# v4 candles


def test_v4_candles_are_columns_with_decimal_strings_of_eight_places() -> None:
    book = ReplayBook(
        {BTC_DAILY: [Bar(T, *map(Decimal, ("1", "2.5", "0.1", "1.00000001", "7E+2")))]}
    )
    reply = Exchange(book, clock=lambda: T).answer(f"{CANDLES}&to={T}")
    assert reply.body == (
        b'{"t":[1700006400],"o":["1.00000000"],"h":["2.50000000"],"l":["0.10000000"],'
        b'"c":["1.00000001"],"v":["700.00000000"]}'
    )


def test_a_price_finer_than_the_tick_is_sent_with_all_its_digits() -> None:
    market = Exchange(ReplayBook({BTC_DAILY: [bar(T, "1.000000001")]}), clock=lambda: T)
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


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (f"symbol=btc-brl&resolution=1d&to={FAR}", "SYMBOL_IS_INVALID"),
        (f"symbol=BTC-BRL&resolution=4h&to={FAR}", "RESOLUTION_IS_INVALID"),
        ("symbol=BTC-BRL&resolution=1d", "TO_IS_INVALID"),
        (f"symbol=BTC-BRL&resolution=1d&to={T}&from=x", "FROM_IS_INVALID"),
    ],
)
def test_a_wrong_request_is_refused_with_the_exchange_s_code(query: str, error: str) -> None:
    body = ask(ten_days(), f"/api/v4/candles?{query}", status=400)
    assert body["code"] == f"PUBLIC_DATA|LIST_CANDLES|{error}"
    assert body["message"]


# legacy candles


def test_legacy_candles_are_objects_with_json_numbers_under_the_server_s_time() -> None:
    book = ReplayBook(
        {BTC_DAILY: [Bar(T, *map(Decimal, ("1.50", "2.5", "0.1", "262064.0", "7E+2")))]}
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


def test_a_wrong_legacy_request_is_refused() -> None:
    body = ask(ten_days(), f"/v4/BTC-BRL/candle?from=0&to={T}&precision=1d", status=404)
    assert body["code"] == "API|COIN_NOT_FOUND"
    for query in (f"from=0&to={T}&precision=4h", "to=1&precision=1d"):
        assert "INVALID" in ask(ten_days(), f"/v4/BRLBTC/candle?{query}", status=400)["code"]
