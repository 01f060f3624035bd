"""Each way in which a host can misbehave, met by the commands as cron starts them.

One run meets many faults, each at a pair of its own: the summary tells them apart, one pair that is well
among them is loaded, and the exit code is 1. What each fault means is in tests/integration/test_upstream_faults.py.
"""

from __future__ import annotations

import json
import random
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from app.core.market import Pair
from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.loopback import crowd_before
from tests.support.price_shop import PriceShop, price_shop
from tests.support.town import COLLECTOR, LOADER, Town, by_pair

WAIT, NONSENSE = "UpstreamUnavailable", "UpstreamNonsense"

FAULTS = {
    "refuse": WAIT,
    "reset": WAIT,
    "reset,at=body": WAIT,
    "hang": WAIT,
    "hang,at=body": WAIT,
    "trickle=0.5": WAIT,
    "slow=60": WAIT,
    "cut": WAIT,
    "cut,framing=close": WAIT,
    "flood=20": NONSENSE,
    "flood=20,at=head": WAIT,
    "gzip-bomb=100": NONSENSE,
    "nested": NONSENSE,
    "value=NaN": NONSENSE,
    "columns=close": NONSENSE,
    "duplicate-key": NONSENSE,
    "status=403": "UpstreamBlocked",
    "status=400": "UpstreamRejected",
}
DAYS = 5 + 199
BTC = Pair("BTC", "BRL")


@pytest.mark.parametrize("form", ["v4", "legacy"])
def test_every_fault_is_one_pairs_trouble_and_exit_1(tmp_path: Path, form: str) -> None:
    # The legacy format has no columns: there a single candle lacks a field.
    specs = [spec for spec in FAULTS if form == "v4" or not spec.startswith("columns")]
    pairs = {Pair(f"X{number:02}", "BRL"): spec for number, spec in enumerate(specs)}
    exchange = Exchange(Simulation(3, dict.fromkeys([BTC, *pairs])), clock=time.time)
    with serve(exchange) as url:
        town = Town(url, tmp_path)
        for pair, spec in pairs.items():
            exchange.faults.add(f"{spec},path={pair.symbol if form == 'v4' else pair.legacy}")
        settings = {
            "ALLOWED_PAIRS": ",".join(map(str, [BTC, *pairs])),
            "CANDLE_SOURCE": "mercado_bitcoin" if form == "v4" else "mercado_bitcoin_legacy",
            "MB_LEGACY_API_BASE_URL": f"{url}/v4",
        }
        done = town.run(*LOADER, **settings)
        found = by_pair(done)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        errors = {
            pairs[Pair.parse(name)]: item["error"]
            for name, item in found.items()
            if name != "BRLBTC"
        }
        assert errors == {spec: FAULTS[spec] for spec in specs}
        for name, item in found.items():
            if name != "BRLBTC":
                assert f"{name} 1d failed: {item['reason']}\n" in done.stdout
                assert item["unreachable"] == (item["error"] in (WAIT, "UpstreamBlocked"))
        assert found["BRLBTC"]["status"] == "ok"
        assert {row[0] for row in town.stored()} == {"BTC-BRL"}
        exchange.faults.clear()
        done = town.run(*LOADER, **settings)
        assert done.returncode == 0, done.stdout
        assert len(town.stored()) == DAYS * (len(pairs) + 1)


@contextmanager
def closed() -> Iterator[str]:
    """The URL of a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextmanager
def crowded() -> Iterator[str]:
    """The URL of a host that hears nobody knock."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with crowd_before(address):
            yield f"http://127.0.0.1:{address[1]}"


@pytest.mark.parametrize("nobody", [closed, crowded])
@pytest.mark.parametrize("command", [LOADER, COLLECTOR])
def test_a_host_that_takes_no_connection_is_exit_1_in_time(
    tmp_path: Path, nobody: Callable[[], AbstractContextManager[str]], command: tuple[str, ...]
) -> None:
    with nobody() as url:
        begun = time.monotonic()
        done = Town(url, tmp_path).run(*command, UPSTREAM_RETRY_SECONDS="2")
        assert time.monotonic() - begun < 20
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    for said in summary.get("series", [summary]):
        assert said["error"] == WAIT
        assert "cannot be reached now" in said["reason"]
        assert said.get("unreachable", True)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[PriceShop]:
    """A source of prices and an API."""
    with price_shop(tmp_path) as made:
        yield made


def test_a_collector_that_is_killed_loses_no_price_that_it_reported(shop: PriceShop) -> None:
    chance = random.Random(4)
    reported = 0
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-m", "app.workers.price_collector"],
            env=shop.environment | {"PRICE_POLL_SECONDS": "1", "LOG_FORMAT": "json"},
            cwd=shop.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stderr is not None
            first = next(line for line in child.stderr if '"prices_collected"' in line)
            time.sleep(chance.uniform(0, 1.5))
            child.kill()
            lines = [first, *child.stderr]
        assert child.returncode == -9
        whole = [json.loads(line) for line in lines if line.endswith("}\n")]
        reported += sum(line["event"] == "prices_collected" for line in whole)
        with closing(sqlite3.connect(shop.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            stored = connection.execute("SELECT symbol, count(*) FROM prices GROUP BY 1").fetchall()
        counts = {count for _, count in stored}
        # All five of a collection or none, and at the most one more that it had no time to report.
        assert len(stored) == 5
        assert len(counts) == 1
        assert reported <= counts.pop() <= reported + 4
    assert shop.run("--once").returncode == 0
    assert {len(shop.get(f"/history/{symbol}")) for symbol in ("BTC", "DOT")} == {
        len(shop.get("/history/ADA"))
    }
