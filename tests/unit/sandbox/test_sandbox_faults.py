"""Faults as data: how they are written, when they act, and what they do to a reply."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import ConfigurationError
from app.core.market import Interval
from app.sandbox.exchange import COINGECKO_PATH, LEGACY_PATH, V4_PATH, Exchange
from app.sandbox.fault_kinds import KINDS, Fault
from app.sandbox.faults import FaultBoard, fault
from app.sandbox.options import parser
from app.sandbox.simulation import Simulation
from app.sandbox.wire import Reply

NOW = 1_711_829_417
TODAY = Interval.DAY.floor(NOW)
V4 = f"{V4_PATH}/candles?symbol=BTC-BRL&resolution=1d&from={TODAY - 5 * 86_400}&to={NOW}"
LEGACY = f"{LEGACY_PATH}/BRLBTC/candle?precision=1d&from={TODAY - 5 * 86_400}&to={NOW}"
SPOT = f"{COINGECKO_PATH}/simple/price?ids=bitcoin,ethereum&vs_currencies=usd&precision=full"
PRICES = ("open", "high", "low", "close")


@pytest.fixture
def exchange() -> Exchange:
    """An exchange whose clock stands still."""
    return Exchange(Simulation(1), clock=lambda: NOW)


def body(reply: Reply) -> Any:
    """A reply's JSON, numbers as exact decimals."""
    return json.loads(reply.body, parse_float=Decimal, parse_int=Decimal)


def candles(exchange: Exchange) -> list[dict[str, Decimal]]:
    """The candles of both formats, which must say the same, numbers as they are."""
    v4, legacy = body(exchange.answer(V4)), body(exchange.answer(LEGACY))["candles"]
    names = {name[0]: name for name in (*PRICES, "timestamp", "volume")}
    columns = ([Decimal(value) for value in v4[short]] for short in names)
    assert [
        dict(zip(names.values(), row, strict=True)) for row in zip(*columns, strict=True)
    ] == legacy
    return list(legacy)


def test_every_kind_stands_in_the_help_as_it_is_written() -> None:
    lines = parser().format_help().splitlines()
    for name, kind in KINDS.items():
        (line,) = [line for line in lines if line.startswith(f"  {name}")]
        own = kind.model_fields.keys() - Fault.model_fields.keys() - {"value", "candle"}
        assert all(f"[,{field.replace('_', '-')}=" in line for field in own)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("stats=503", "'stats' is unknown: write one of status, "),
        ("status", "value: Field required"),
        ("status=99", "greater than or equal to 200"),
        ("status=503,times=0", "times: "),
        ("status=503,often=2", "often: .*it takes path, after, times, value"),
        ("refuse=1", "value: "),
        ("scale=0", "value: "),
        ("missing,candle=yesterday", "candle: "),
    ],
)
def test_a_fault_that_is_none_says_what_to_write(spec: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^fault .*{says}") as caught:
        fault(spec)
    assert "\n" not in str(caught.value)


def due(board: FaultBoard, target: str = "/candles") -> list[str]:
    """What hits the next request."""
    return [fault.name for fault in board.due(target)]


def test_a_fault_hits_so_many_requests_after_so_many_and_only_its_own() -> None:
    board = FaultBoard()
    board.add("status=503,path=BTC,after=1,times=2")
    hits = [bool(due(board, target)) for target in ("/BTC", "/ETH", "/BTC", "/ETH", "/BTC", "/BTC")]
    assert hits == [False, False, True, False, True, False]


def test_faults_of_a_whole_reply_are_a_sequence_and_the_others_go_together() -> None:
    board = FaultBoard()
    board.add("cut,times=1", "missing", "refuse,times=1", "scale=10")
    assert [due(board) for _ in range(3)] == [
        ["cut", "missing", "scale"],
        ["missing", "refuse", "scale"],
        ["missing", "scale"],
    ]
    assert due(board, "/simple/price") == []


def test_faults_are_set_all_or_none() -> None:
    board = FaultBoard()
    with pytest.raises(ConfigurationError):
        board.add("refuse", "nonsense")
    assert due(board) == []


@pytest.mark.parametrize(
    ("spec", "factor"), [("scale=100", 100), ("scale=0.125", Decimal("0.125"))]
)
def test_a_change_of_scale_reaches_every_price(
    exchange: Exchange, spec: str, factor: Decimal
) -> None:
    before = candles(exchange)
    exchange.faults.add(spec)
    for old, new in zip(before, candles(exchange), strict=True):
        assert all(abs(new[name] / old[name] / factor - 1) < Decimal("1e-8") for name in PRICES)
        assert new["volume"] == old["volume"]


def test_a_revised_candle_stays_possible_and_the_others_stay(exchange: Exchange) -> None:
    before = candles(exchange)
    exchange.faults.add("revise=4")
    after = candles(exchange)
    close = before[4]["close"] * 4
    assert after == [*before[:4], {**before[4], "close": close, "high": close}, before[5]]


@pytest.mark.parametrize(
    ("candle", "places"),
    [("0", [0]), ("-1", [5]), ("-2", [4]), ("99", [5]), ("-99", [0]), ("all", [0, 1, 2, 3, 4, 5]),
     (str(TODAY), [5]), (str(TODAY + 1), [])],
)  # fmt: skip
def test_a_candle_is_named_by_its_place_or_its_stamp(
    exchange: Exchange, candle: str, places: list[int]
) -> None:
    exchange.faults.add(f"value=0,candle={candle}")
    closes = [row["close"] for row in candles(exchange)]
    assert [place for place, close in enumerate(closes) if close == 0] == places


def test_candles_are_left_out_and_crossed(exchange: Exchange) -> None:
    before = candles(exchange)
    exchange.faults.add("missing,candle=0", "crossed,candle=0")
    after = candles(exchange)
    assert [row["timestamp"] for row in after] == [row["timestamp"] for row in before[1:]]
    assert [row["high"] < row["low"] for row in after] == [True, False, False, False, False]


def test_an_error_is_written_as_its_own_api_writes_it(exchange: Exchange) -> None:
    exchange.faults.add("status=429,retry-after=date+60,times=2", "status=302,location=/x,times=1")
    first = exchange.answer(V4)
    assert body(first)["code"] == "REQUEST_RATE_EXCEEDED"
    assert first.headers == (("Retry-After", "Sat, 30 Mar 2024 20:11:17 GMT"),)
    assert body(exchange.answer(SPOT))["status"]["error_code"] == 429
    assert exchange.answer("/nowhere").headers == (("Location", "/x"),)
    exchange.faults.add("status=403")
    assert exchange.answer(V4).content_type.startswith("text/html")


def test_raw_values_go_out_as_they_are_whatever_else_is_done_to_the_candle(
    exchange: Exchange,
) -> None:
    exchange.faults.add('value={"a":[1,2,candle=0', "revise=2,candle=0")
    assert b'"c":[{"a":[1,2,"' in exchange.answer(V4).body
    assert b'"close":{"a":[1,2,' in exchange.answer(LEGACY).body
