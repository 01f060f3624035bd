"""From the command line to an exchange: pairs of files, the clock, and what is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from app.core.errors import ConfigurationError
from app.core.market import DAY, Interval, Pair, Series
from app.sandbox.__main__ import main
from app.sandbox.book import newest
from app.sandbox.exchange import Exchange
from app.sandbox.options import build_exchange, parser
from app.sandbox.simulation import BASE_PRICES

BTC, ETH, XYZ = Pair("BTC", "BRL"), Pair("ETH", "BRL"), Pair("XYZ", "BRL")
T = 1_700_006_400  # 2023-11-15 00:00 UTC
WALL = T + 700 * DAY + 1000


class Wall:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = float(WALL)

    def __call__(self) -> float:
        return self.now


def table(folder: Path, name: str = "btc.csv", step: int = DAY) -> str:
    path = folder / name
    rows = [f"{T + n * step},1,1,1,{n + 1},1" for n in range(3)]
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]))
    return str(path)


def reply(folder: Path, name: str = "reply.json", server_time: int = T + 2 * DAY + 9) -> str:
    path = folder / name
    rows = [
        {"timestamp": T + n * DAY, "open": 1, "high": 1, "low": 1, "close": n + 1, "volume": 1}
        for n in range(3)
    ]
    path.write_text(json.dumps({"server_unix_timestamp": server_time, "candles": rows}))
    return str(path)


def build(*argv: str, wall: Wall | None = None) -> Exchange:
    return build_exchange(parser().parse_args(argv), wall or Wall())


def daily(exchange: Exchange, pair: Pair = BTC) -> dict[int, Decimal]:
    """Closes by day, counted from T, as the exchange has them at its own time."""
    now = exchange.clock()
    bars = newest(
        exchange.book, Series(pair, Interval.DAY), 0, int(now) + 9000 * DAY, now, limit=20
    )
    return {(bar.stamp - T) // DAY: bar.close for bar in bars}


def test_without_a_file_the_usual_pairs_and_the_named_ones_are_simulated() -> None:
    exchange = build("--pair", "xyz-brl")
    assert set(exchange.book.pairs) == {*BASE_PRICES, XYZ}
    assert exchange.clock() == WALL


def test_faults_of_the_command_line_act_from_the_start() -> None:
    exchange = build("--fault", "status=503,times=1", "--fault", "status=429")
    assert [exchange.answer("/api/v4/symbols").status for _ in range(2)] == [503, 429]


def test_pairs_belong_to_files_in_order_and_a_single_file_is_bitcoin(tmp_path: Path) -> None:
    assert build("--replay", table(tmp_path)).book.pairs == (BTC,)
    exchange = build(
        *("--replay", table(tmp_path), "--pair", "ETH-BRL"),
        *("--replay", table(tmp_path, "hours.csv", 3600), "--pair", "BRLBTC"),
    )
    assert exchange.book.pairs == (ETH, BTC)
    assert daily(exchange, ETH) == {0: 1, 1: 2, 2: 3}
    assert daily(exchange, BTC) == {}


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["--replay", "CSV", "--replay", "CSV"], "2 files to replay but 1 pairs"),
        (["--replay", "CSV", "--replay", "CSV", "--pair", "BRLBTC", "--pair", "BTC-BRL"],
         "each pair and interval once"),
        (["--shift-to-yesterday"], "add --replay"),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other_are_refused(
    tmp_path: Path, argv: list[str], problem: str
) -> None:
    path = table(tmp_path)
    with pytest.raises(ConfigurationError, match=problem):
        build(*(path if item == "CSV" else item for item in argv))


@pytest.mark.parametrize(
    ("option", "value"), [("--pair", "B"), ("--fault", "stats=503"), ("--now", "soon")]
)
def test_a_malformed_value_ends_the_command_with_2_and_one_line(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([option, value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert value.partition("=")[0] in line


def test_a_bad_file_ends_the_command_with_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(f"t,o,h,l,c,v\n{T},1,1,1,1,1\n{T + 60},1,1,x,1,1\n")
    assert main(["--replay", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"sandbox: could not start: {path}: row 2 ")
    assert err.count("\n") == 1


def test_a_legacy_reply_stands_at_its_own_time_and_time_goes_on(tmp_path: Path) -> None:
    wall = Wall()
    exchange = build("--replay", reply(tmp_path), wall=wall)
    assert exchange.clock() == T + 2 * DAY + 9
    wall.now += 61.5
    assert exchange.clock() == T + 2 * DAY + 70.5


@pytest.mark.parametrize("now", [str(T), "2023-11-15T00:00:00Z"])
def test_now_sets_the_start_of_the_clock(tmp_path: Path, now: str) -> None:
    wall = Wall()
    exchange = build("--replay", reply(tmp_path), "--now", now, wall=wall)
    wall.now += 2
    assert exchange.clock() == T + 2


def test_shifted_a_reply_goes_by_the_wall_clock_with_its_running_candle_today(
    tmp_path: Path,
) -> None:
    exchange = build("--replay", reply(tmp_path), "--shift-to-yesterday")
    assert exchange.clock() == WALL
    assert daily(exchange) == {698: 1, 699: 2, 700: 3}
