"""The stand-in exchange's candles: each quirk of the two wire formats, without a socket."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.market import DAY, Interval
from app.sandbox.book import Bar, ReplayBook
from app.sandbox.exchange import Exchange
from tests.support.candles import BTC
from tests.support.exchange import CANDLES, FAR, T, ask, bar, exchange, sent, simulated, ten_days

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


def test_a_page_keeps_the_newest_candles_up_to_to() -> None:
    market = ten_days(page_limit=3)
    assert sent(market, f"{CANDLES}&from={T}&to={FAR}") == [7, 8, 9]
    assert sent(market, f"{CANDLES}&from={T}&to={T + 6 * DAY}") == [4, 5, 6]
    assert sent(market, f"{CANDLES}&to={FAR}&countback=7") == [7, 8, 9]


@pytest.mark.parametrize("resolution", ["1m", "1h", "1w", "1M"])
def test_a_resolution_without_candles_is_an_empty_reply(resolution: str) -> None:
    target = f"/api/v4/candles?symbol=BTC-BRL&resolution={resolution}&to={FAR}&countback=5"
    assert ask(ten_days(), target) == {key: [] for key in "tohlcv"}


@pytest.mark.parametrize("symbol", ["BTCBRL", "btc-brl", "NOPE-BRL", ""])
def test_a_symbol_that_is_not_exactly_right_is_refused(symbol: str) -> None:
    target = f"/api/v4/candles?symbol={symbol}&resolution=1d&to={FAR}"
    body = ask(ten_days(), target, status=400)
    assert body["code"] == "PUBLIC_DATA|LIST_CANDLES|SYMBOL_IS_INVALID"
    assert body["message"]


@pytest.mark.parametrize("resolution", ["4h", "1D", ""])
def test_an_unknown_resolution_is_refused_with_the_recorded_message(resolution: str) -> None:
    target = f"/api/v4/candles?symbol=BTC-BRL&resolution={resolution}&to={FAR}"
    message = ask(ten_days(), target, status=400)["message"]
    wanted = "The param {resolution} must be one of 1m, 15m, 1h, 3h, 1d, 1w, 1M(for months)"
    assert message == wanted


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", "TO_IS_INVALID"),
        ("&to=soon", "TO_IS_INVALID"),
        ("&to=" + "9" * 5000, "TO_IS_INVALID"),
        (f"&to={T}&from=x", "FROM_IS_INVALID"),
        (f"&to={T}&countback=0", "COUNTBACK_IS_INVALID"),
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


@pytest.mark.parametrize("name", ["BTC-BRL", "brlbtc", "BRLNOPE"])
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
