"""Live prices over real HTTP: collected from the stand-in, stored, read back and judged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.exchange import COINGECKO_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.processes import Server, api_server

ROOT = Path(__file__).resolve().parents[2]
ASK_TO_WAIT = '{"status":{"error_code":429,"error_message":"You have exceeded the Rate Limit."}}'


@dataclass
class Shop:
    """An API, the stand-in that it asks, and the commands beside it."""

    exchange: Exchange
    environment: dict[str, str]
    folder: Path
    api: Server

    def collect(self, symbol: str) -> tuple[int, dict[str, str], Any]:
        """POST /collect-once."""
        return self.api.ask("POST", f"/collect-once/{symbol}")

    def get(self, path: str) -> Any:
        """GET something that must be there."""
        status, _, body = self.api.ask("GET", path)
        assert status == 200, body
        return body

    def price(self, coin: str, price: str) -> None:
        """Let a coin cost this much from now on."""
        self.exchange.prices.set(coin, "usd", Decimal(price))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the collector to its end."""
        return subprocess.run(
            [sys.executable, "-m", "app.workers.price_collector", *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop with an empty database."""
    exchange = Exchange(Simulation(4), clock=time.time)
    with serve(exchange) as url:
        environment = {
            **os.environ,
            "DB_URL": f"sqlite:///{tmp_path / 'mms.db'}",
            "COINGECKO_API_BASE_URL": url + COINGECKO_PATH,
            "COINGECKO_REQUESTS_PER_SECOND": "1000",
            "PYTHONPATH": str(ROOT),
        }
        with api_server(environment, tmp_path) as api:
            yield Shop(exchange, environment, tmp_path, api)


def test_all_symbols_are_collected_with_one_request_and_read_back(shop: Shop) -> None:
    done = shop.run("--once", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert set(summary["stored"]) == {"BTC", "ETH", "SOL", "ADA", "DOT"}
    asked = [item for item in shop.exchange.requests if item.path.endswith("/simple/price")]
    assert len(asked) == 1
    for symbol, price in summary["stored"].items():
        (row,) = shop.get(f"/history/{symbol}")
        assert (row["symbol"], row["currency"], row["stale"]) == (symbol, "usd", False)
        assert Decimal(str(row["price"])) == Decimal(price)
        assert abs(row["timestamp"] - time.time()) < 60


@pytest.mark.parametrize(
    ("coin", "symbol", "before", "after", "anomalous"),
    [
        ("bitcoin", "BTC", "60000", "63600", True),
        ("bitcoin", "BTC", "60000", "62940", False),
        ("bitcoin", "BTC", "60000", "63000", False),
        ("bitcoin", "BTC", "60000", "63000.00000001", True),
        ("bitcoin", "BTC", "60000", "57000", False),
        ("bitcoin", "BTC", "60000", "56999.99999999", True),
        ("cardano", "ADA", "0.50", "5.00", True),
        ("bitcoin", "BTC", "60000", "60101", False),
    ],
)
def test_a_change_must_exceed_the_threshold(
    shop: Shop, coin: str, symbol: str, before: str, after: str, anomalous: bool
) -> None:
    shop.price(coin, before)
    assert shop.collect(symbol)[0] == 200
    waiting = shop.get(f"/anomaly/{symbol}")
    assert (waiting["anomaly"], waiting["outcome"]) == (False, "insufficient")
    assert waiting["message"]
    shop.price(coin, after)
    status, _, stored = shop.collect(symbol.lower())
    assert (status, stored["symbol"]) == (200, symbol)
    assert set(stored) >= {"id", "symbol", "price", "currency", "timestamp"}
    found = shop.get(f"/anomaly/{symbol}")
    assert found["anomaly"] is anomalous
    assert Decimal(str(found["latest_price"])) == Decimal(after)
    assert Decimal(str(found["previous_price"])) == Decimal(before)
    assert Decimal(str(found["threshold"])) == Decimal("0.05")
    assert [Decimal(str(row["price"])) for row in shop.get(f"/history/{symbol}")] == [
        Decimal(after),
        Decimal(before),
    ]
    assert shop.get(f"/anomaly/{symbol}?threshold=20")["anomaly"] is False


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (429, ASK_TO_WAIT, {"Retry-After": "37"}),
        (200, ASK_TO_WAIT, {}),
        (200, '{"error":"coin not found"}', {}),
        (200, '{"bitcoin":{"usd":null,"last_updated_at":1711356300}}', {}),
        (200, "{}", {}),
        (200, "Throttled", {"Content-Type": "text/plain"}),
        (429, "Throttled", {"Content-Type": "text/plain"}),
        (403, "<html>Sorry, you have been blocked</html>", {"Content-Type": "text/html"}),
        (503, "<html>down</html>", {"Content-Type": "text/html"}),
        (200, '{"bitcoin":{"usd":NaN}}', {}),
        (200, "[1,2]", {}),
    ],
)
def test_trouble_at_the_source_is_503_and_nothing_is_stored(
    shop: Shop, status: int, body: str, headers: dict[str, str]
) -> None:
    shop.exchange.prices.fail(status, body, headers)
    answered, sent, problem = shop.collect("BTC")
    assert answered == 503
    assert problem["code"] == "upstream-unavailable"
    assert problem["detail"]
    if "Retry-After" in headers:
        assert sent["retry-after"] == headers["Retry-After"]
    assert shop.get("/history/BTC") == []


def test_a_coin_without_a_price_leaves_the_others_alone(shop: Shop) -> None:
    shop.exchange.prices.set("ethereum", "usd", None)
    shop.exchange.prices.leave_out("solana")
    done = shop.run("--once", "--json")
    assert done.returncode == 1
    summary = json.loads(done.stdout.splitlines()[-1])
    assert set(summary["stored"]) == {"BTC", "ADA", "DOT"}
    assert "null" in summary["refused"]["ETH"]
    assert "leaves out" in summary["refused"]["SOL"]


def test_fetch_prints_one_price_and_stores_nothing(shop: Shop) -> None:
    shop.price("bitcoin", "67187.3358936566")
    done = shop.run("--fetch", "btc", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("BTC 67187.33589366 usd as of 20")
    assert json.loads(done.stdout.splitlines()[-1])["price"] == "67187.33589366"
    assert shop.get("/history/BTC") == []
    assert shop.run("--fetch", "FOO").returncode == 2


def test_a_stale_price_is_marked_and_makes_no_anomaly(shop: Shop) -> None:
    shop.price("bitcoin", "60000")
    shop.collect("BTC")
    old = int(time.time()) - 4_000
    shop.exchange.prices.set("bitcoin", "usd", Decimal("90000"), updated_at=old)
    status, _, stored = shop.collect("BTC")
    assert (status, stored["stale"], stored["priced_at"]) == (200, True, old)
    found = shop.get("/anomaly/BTC")
    assert (found["anomaly"], found["stale"], found["outcome"]) == (False, True, "insufficient")
    assert "stale" in found["message"]
    assert (found["usual_change"], found["relative_change"]) == (None, None)
    # The next fresh price is compared with the last fresh one.
    shop.price("bitcoin", "60001")
    shop.collect("BTC")
    assert shop.get("/anomaly/BTC")["outcome"] == "normal"


def test_the_loop_collects_at_once_goes_on_and_stops_within_five_seconds(shop: Shop) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "app.workers.price_collector"],
        env=shop.environment | {"PRICE_POLL_SECONDS": "1", "ANOMALY_THRESHOLD": "0.05"},
        cwd=shop.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 40
    try:
        while len(shop.get("/history/DOT")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        shop.price("polkadot", "1000")
        shop.exchange.prices.fail(500, "oops", times=2)
        while Decimal(str(shop.get("/history/DOT")[0]["price"])) != 1000:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        seen = len(shop.get("/history/DOT"))
        while len(shop.get("/history/DOT")) < seen + 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        _, said = process.communicate(timeout=20)
        assert time.monotonic() - begun < 5
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    events = [json.loads(line)["event"] for line in said.splitlines() if line.startswith("{")]
    assert events.count("anomaly_detected") == 1
    assert events.count("price_collection_failed") == 2
    assert "prices_collected" in events
