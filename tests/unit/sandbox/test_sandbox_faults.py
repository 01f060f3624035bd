"""Faults as data: how they are written, when they act, and what they do to a reply."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest

from app.core.errors import ConfigurationError
from app.core.market import Interval, Pair
from app.sandbox import fault_candles, fault_replies, fault_sending
from app.sandbox.book import Bar
from app.sandbox.control import PREFIX
from app.sandbox.exchange import COINGECKO_PATH, LEGACY_PATH, V4_PATH, Exchange
from app.sandbox.fault_kinds import COMMON, KINDS
from app.sandbox.fault_parameters import CANDLES, PRICES
from app.sandbox.faults import MOST, Fault, FaultBoard
from app.sandbox.options import parser
from app.sandbox.simulation import Simulation
from app.sandbox.wire import Reply

NOW = 1_711_829_417
TODAY = Interval.DAY.floor(NOW)
V4 = f"{V4_PATH}/candles?symbol=BTC-BRL&resolution=1d&to={NOW}&countback=6"
LEGACY = f"{LEGACY_PATH}/BRLBTC/candle?precision=1d&from={TODAY - 5 * 86_400}&to={NOW}"
SPOT = f"{COINGECKO_PATH}/simple/price?ids=bitcoin,ethereum&vs_currencies=usd&precision=full"
TICKERS = f"{V4_PATH}/tickers?symbols=BTC-BRL"
FAULTS = f"{PREFIX}faults"


@pytest.fixture
def exchange() -> Exchange:
    """An exchange whose clock stands still."""
    return Exchange(Simulation(1), clock=lambda: NOW)


def body(reply: Reply) -> Any:
    """A reply's JSON, numbers as exact decimals."""
    return json.loads(reply.body, parse_float=Decimal)


def test_every_kind_is_acted_out_by_one_module_and_stands_in_the_help() -> None:
    handled = [fault_candles.HANDLED, fault_sending.HANDLED, *fault_replies.HANDLED.items()]
    assert sorted(chain.from_iterable(names for _, names in handled)) == sorted(KINDS)
    for acts, names in handled:
        assert {KINDS[name].acts for name in names} == {acts}
    text = parser().format_help()
    for kind in KINDS.values():
        (line,) = [line for line in text.splitlines() if line.endswith(f": {kind.says}")]
        assert line.startswith(f"  {kind.name}")
        assert all(f"[,{name}=" in line for name in kind.options)


@pytest.mark.parametrize(
    "spec",
    [
        "status=503",
        "status=429,retry-after=7,times=3",
        "status=429,retry-after=date+30,body=html,path=/candles",
        "stamp=ms,candle=all,path=symbol=BTC-BRL",
        "price=-5,field=low,candle=2024-03-01,after=2,seconds=60",
        "refuse,times=10",
        "scale=/100",
        "cut,framing=close,keep=0",
    ],
)
def test_a_fault_is_written_as_it_was_read(spec: str) -> None:
    assert str(Fault.parse(spec)) == spec
    assert Fault.parse(spec) == Fault.parse(str(Fault.parse(spec)))


def test_what_is_not_written_has_its_default() -> None:
    fault = Fault.parse("trickle")
    assert str(fault) == "trickle=1"
    assert (fault.number(), fault.text("at"), fault.text("times")) == (1.0, "head", "")
    assert set(fault.given) == {"value", "at", *COMMON}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "is unknown: write one of status, "),
        ("stats=503", "'stats' is unknown"),
        ("status", "needs a value: a whole number from 200 to 599"),
        ("status=", "must be a whole number from 200 to 599"),
        ("status=99", "must be a whole number"),
        ("status=503,times=0", "times '0' must be a whole number from 1"),
        ("status=503,times=x", "times 'x'"),
        ("status=503,often=2", "has no often: it takes value, retry-after, body, path"),
        ("status=503,times", "must be one more NAME=VALUE"),
        ("status=503,times=1,times=2", "each name once"),
        ("refuse=1", "has no value"),
        ("stamp=days", "must be one of off-grid, ms"),
        ("scale=0", "must be a factor"),
        ("scale=/0", "must be a factor"),
        ("scale=nan", "must be a factor"),
        ("scale=x", "must be a factor"),
        ("price=x", "must be a decimal number"),
        ("slow=x", "must be a number from 0"),
        ("price=NaN", "must be a decimal number"),
        ("missing,candle=yesterday", "must be a place in the reply"),
        ("slow=-1", "must be a number from 0"),
        ("slow=nan", "must be a number from 0"),
        ("redirect=http://a/\r\nX: y", "must be a URL"),
        ("status=429,retry-after=\u20ac", "any text"),
    ],
)
def test_a_fault_that_is_none_says_what_to_write(spec: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match="fault") as caught:
        Fault.parse(spec)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def due(board: FaultBoard, target: str = "/x", subject: str = CANDLES) -> list[str]:
    """What hits the next request."""
    return [str(fault) for fault in board.due(target, subject)]


def test_a_fault_hits_so_many_requests_after_so_many_and_only_its_own() -> None:
    board = FaultBoard()
    board.add("status=503,path=BTC,after=1,times=2")
    assert [due(board, target) for target in ("/BTC", "/ETH", "/BTC", "/ETH", "/BTC", "/BTC")] == [
        [], [], ["status=503,path=BTC,after=1,times=2"], [], ["status=503,path=BTC,after=1,times=2"], [],
    ]  # fmt: skip
    (listed,) = board.listed()
    assert (listed["seen"], listed["used"], listed["active"]) == (3, 2, False)


def test_a_fault_for_some_seconds_ends_by_itself() -> None:
    ticks = [100.0]
    board = FaultBoard(lambda: ticks[0])
    board.add("refuse,seconds=60")
    assert due(board) == ["refuse,seconds=60"]
    ticks[0] = 159.9
    assert due(board) != []
    ticks[0] = 160.0
    assert due(board) == []


def test_faults_of_a_whole_reply_are_a_sequence_and_the_others_go_together() -> None:
    board = FaultBoard()
    board.add("status=500,times=1", "missing", "refuse,times=1", "scale=10", "status=502,times=1")
    assert [due(board) for _ in range(4)] == [
        ["status=500,times=1"],
        ["refuse,times=1", "missing", "scale=10"],
        ["status=502,times=1"],
        ["missing", "scale=10"],
    ]
    assert due(board, subject=PRICES) == ["scale=10"]
    assert due(board, subject="") == []


def test_faults_are_set_all_or_none_and_can_be_removed() -> None:
    board = FaultBoard()
    with pytest.raises(ConfigurationError):
        board.add("refuse", "nonsense")
    assert board.listed() == []
    assert board.add("refuse", "hang") == [1, 2]
    assert board.remove(1)
    assert not board.remove(1)
    assert [item["id"] for item in board.listed()] == [2]
    board.clear()
    assert board.add("refuse") == [3]
    with pytest.raises(ConfigurationError, match="remove some"):
        board.add(*["refuse"] * MOST)


def test_the_control_endpoint_sets_lists_and_removes_faults(exchange: Exchange) -> None:
    def ask(method: str, path: str = FAULTS, content: object = None) -> tuple[int, Any]:
        reply = exchange.controlled(method, path, json.dumps(content).encode())
        assert reply is not None
        return reply.status, json.loads(reply.body) if reply.body else None

    status, made = ask("POST", content="status=503,times=3")
    assert (status, [item["fault"] for item in made]) == (201, ["status=503,times=3"])
    status, made = ask(
        "POST", content=["refuse", {"kind": "value", "value": "[1,2]", "candle": -3, "times": 2}]
    )
    assert (status, [item["id"] for item in made]) == (201, [2, 3])
    assert made[1]["fault"] == "value=[1,2],candle=-3,times=2"
    assert exchange.answer(V4).status == 503
    _, listed = ask("GET")
    assert [(item["id"], item["used"]) for item in listed] == [(1, 1), (2, 0), (3, 0)]
    assert ask("DELETE", f"{FAULTS}/2")[0] == 204
    assert ask("DELETE", f"{FAULTS}/2")[0] == 404
    assert ask("DELETE", f"{FAULTS}/x")[0] == 404
    assert ask("DELETE")[0] == 204
    assert ask("GET")[1] == []
    for wrong in (None, 7, [], [7], {}, {"kind": 1}, {"kind": "status", "value": None}, "x"):
        status, problem = ask("POST", content=wrong)
        assert (status, problem["code"]) == (400, "SANDBOX|FAULT_IS_INVALID")
        assert problem["message"]
    assert ask("PUT")[0] == 405
    assert ask("GET", f"{PREFIX}nothing")[0] == 404
    assert exchange.controlled("POST", V4, b"") is None
    assert [asked.path for asked in exchange.requests] == [f"{V4_PATH}/candles"]


@pytest.mark.parametrize(("spec", "factor"), [("scale=100", Decimal(100)), ("scale=/8", Decimal("0.125"))])  # fmt: skip
def test_a_change_of_scale_reaches_every_price(
    exchange: Exchange, spec: str, factor: Decimal
) -> None:
    def prices() -> list[list[Decimal]]:
        v4, legacy = body(exchange.answer(V4)), body(exchange.answer(LEGACY))["candles"]
        (ticker,) = body(exchange.answer(TICKERS))
        spot = body(exchange.answer(SPOT))
        return [
            *([Decimal(text) for text in v4[column]] for column in "ohlc"),
            *([Decimal(row[name]) for row in legacy] for name in ("open", "high", "low", "close")),
            [Decimal(ticker[name]) for name in ("high", "low", "last", "buy", "sell", "open")],
            [Decimal(entry["usd"]) for entry in spot.values()],
        ]

    before = prices()
    exchange.faults.add(spec)
    for old, new in zip(chain(*before), chain(*prices()), strict=True):
        assert abs(new / old / factor - 1) < Decimal("1e-8")


@pytest.mark.parametrize(
    ("candle", "places"),
    [("0", [0]), ("-1", [5]), ("-2", [4]), ("99", [5]), ("-99", [0]), ("all", [0, 1, 2, 3, 4, 5]),
     ("2024-03-29", [4]), ("2024-01-01", []), (str(TODAY), [5]), (str(TODAY + 1), [])],
)  # fmt: skip
def test_a_candle_is_named_by_its_place_its_day_or_its_stamp(
    exchange: Exchange, candle: str, places: list[int]
) -> None:
    exchange.faults.add(f"price=0,candle={candle}")
    closes = [Decimal(text) for text in body(exchange.answer(V4))["c"]]
    assert [place for place, close in enumerate(closes) if close == 0] == places


def test_a_different_duplicate_differs_even_where_the_candle_is_flat(exchange: Exchange) -> None:
    price = Decimal(5)
    flat = Bar(TODAY - 86_400, price, price, price, price, price)
    exchange.book.replace(Pair("BTC", "BRL"), Interval.DAY, [flat])
    exchange.faults.add("duplicate=different")
    rows = list(zip(*(body(exchange.answer(V4))[column] for column in "tohlcv"), strict=True))
    assert rows[4][0] == rows[5][0] == flat.stamp
    assert rows[4] != rows[5]


def test_an_error_is_written_as_its_own_api_writes_it(exchange: Exchange) -> None:
    exchange.faults.add("status=429,body=json")
    assert body(exchange.answer(V4))["code"] == "REQUEST_RATE_EXCEEDED"
    assert body(exchange.answer(SPOT))["status"]["error_code"] == 429
    assert exchange.answer("/nowhere").status == 429


def test_raw_values_go_out_as_they_are(exchange: Exchange) -> None:
    exchange.faults.add(Fault.of({"kind": "value", "value": '{"a":[1,2', "candle": 0}))
    assert b'"c":[{"a":[1,2,"' in exchange.answer(V4).body
    assert b'"close":{"a":[1,2,' in exchange.answer(LEGACY).body
    assert b'{"usd":{"a":[1,2}' in exchange.answer(SPOT).body


def test_a_second_fault_upon_a_broken_body_leaves_it_as_it_is(exchange: Exchange) -> None:
    exchange.faults.add("value={,candle=0")
    broken = exchange.answer(V4).body
    exchange.faults.add("extra", "duplicate-key")
    assert exchange.answer(V4).body == broken


def test_faults_upon_good_replies_leave_refusals_alone(exchange: Exchange) -> None:
    exchange.faults.add("extra", "value=NaN", "order=reversed")
    wrong = exchange.answer(V4.replace("BTC-BRL", "btc-brl"))
    assert (wrong.status, body(wrong)["code"].rpartition("|")[2]) == (400, "SYMBOL_IS_INVALID")


def test_faults_upon_candles_that_are_not_there_do_nothing(exchange: Exchange) -> None:
    exchange.faults.add("missing", "value=NaN", "columns=close", "order", "running", "stamp=ms")
    empty = exchange.answer(V4.replace(f"to={NOW}", "to=1000"))
    assert body(empty) == {key: [] for key in "tohlcv"}
