"""Live prices over real HTTP: collected from the stand-in, stored, read back and judged."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from app import bootstrap
from app.core.prices import Coin
from app.core.settings import load_settings
from app.services.prices import collect
from tests.support.patience import until
from tests.support.price_shop import PriceShop, price_shop
from tests.support.processes import DEADLINE

BTC = Coin("BTC", "bitcoin")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[PriceShop]:
    """A shop with an empty database."""
    with price_shop(tmp_path) as made:
        yield made


def test_all_symbols_are_collected_with_one_request_and_read_back(shop: PriceShop) -> None:
    shop.price("bitcoin", "67187.3358936566")
    done = shop.run("--once", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert set(summary["stored"]) == {"BTC", "ETH", "SOL", "ADA", "DOT"}
    assert summary["stored"]["BTC"] == "67187.3358936566"
    assert shop.asked() == 1
    for symbol, price in summary["stored"].items():
        [row] = shop.get(f"/history/{symbol}")
        assert (row["symbol"], row["currency"], row["stale"]) == (symbol, "usd", False)
        assert Decimal(str(row["price"])) == Decimal(price)


@pytest.mark.parametrize(
    ("before", "after", "anomaly"),
    [
        ("0.000000014", "0.0000000151", True),
        ("1234567890123456.7", "1234567890123456.8", False),
    ],
)
def test_a_price_without_a_tick_is_served_and_judged_as_it_came(
    shop: PriceShop, before: str, after: str, anomaly: bool
) -> None:
    now = int(time.time())
    for number, price in enumerate((before, after)):
        shop.price("cardano", price, now - 20 + number)
        assert shop.run("--once").returncode == 0
    rows, judged = shop.get("/history/ADA"), shop.get("/anomaly/ADA")
    assert [row["price"] for row in rows] == [Decimal(after), Decimal(before)]
    assert (judged["latest_price"], judged["previous_price"]) == (Decimal(after), Decimal(before))
    assert judged["anomaly"] is anomaly


@pytest.mark.parametrize("wrong", [31_536_000, -10_800])
def test_one_collection_with_a_wrong_clock_changes_no_order_and_blinds_nobody(
    shop: PriceShop, wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    prices = [("60000", 0), ("60001", wrong), ("63602", 0)]
    for number, (price, off) in enumerate(prices):
        shop.price("bitcoin", price, now - 20 + number)
        clock = partial(shifted, off)
        settings = load_settings(None)
        with (
            closing(bootstrap.for_command(settings, clock)) as runtime,
            bootstrap.open_price_source(settings, runtime.limiter_for, clock) as source,
        ):
            done = collect(
                source,
                runtime.prices,
                [BTC],
                runtime.price_rules,
                publish=runtime.events.publish,
            )
        assert len(done.stored) == 1
    rows = shop.get("/history/BTC")
    assert [row["price"] for row in rows] == [63602, 60001, 60000]
    assert all(abs(row["timestamp"] - now) < 120 and not row["stale"] for row in rows)
    judged = shop.get("/anomaly/BTC")
    assert (judged["anomaly"], judged["previous_price"]) == (True, 60001)


def shifted(off: int) -> float:
    """A clock that is off by so many seconds."""
    return time.time() + off


def test_trouble_at_the_source_is_503_and_nothing_is_stored(shop: PriceShop) -> None:
    shop.exchange.faults.add('status=200,body={"bitcoin":{"usd":NaN}},times=1')
    assert shop.collect("BTC")[0] == 503
    # Its wait is kept by everybody: this is the last one.
    limited = 'status=200,body={"status":{"error_code":429}},retry-after=37,times=1'
    shop.exchange.faults.add(limited)
    status, sent, problem = shop.collect("BTC")
    assert (status, problem["code"], sent["retry-after"]) == (503, "upstream-unavailable", "37")
    assert shop.get("/history/BTC") == []


def test_a_month_without_calls_for_requests_is_429_and_the_collector_goes_on(
    tmp_path: Path,
) -> None:
    with price_shop(tmp_path, COINGECKO_MONTHLY_CALLS="1") as shop:
        status, sent, problem = shop.collect("BTC")
        assert (status, problem["code"]) == (429, "rate-limited")
        assert 0 < int(sent["retry-after"]) <= 31 * 86_400
        assert "reserved for the collector" in problem["detail"]
        assert shop.asked() == 0
        assert shop.run("--once").returncode == 0
        # Those who ask at once, and for what the collector has stored.
        with ThreadPoolExecutor(8) as threads:
            replies = list(threads.map(shop.collect, ["BTC", "ETH"] * 8))
        assert {(status, "age" in sent) for status, sent, _ in replies} == {(200, True)}
        assert shop.asked() == 1


def test_fetch_prints_one_price_and_stores_nothing(shop: PriceShop) -> None:
    shop.price("bitcoin", "67187.3358936566")
    done = shop.run("--fetch", "btc", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("BTC 67187.3358936566 usd as of 20")
    assert json.loads(done.stdout)["price"] == "67187.3358936566"
    assert shop.get("/history/BTC") == []
    for unknown in ("FOO", "", "ſol"):
        refused = shop.run("--fetch", unknown)
        assert refused.returncode == 2
        assert f"--fetch: {unknown!r}" in refused.stderr


def test_the_loop_collects_at_once_goes_on_and_stops_when_told(shop: PriceShop) -> None:
    process = shop.start("--json", PRICE_POLL_SECONDS="1")
    try:
        until(lambda: len(shop.get("/history/DOT")) >= 2)
        shop.price("polkadot", "1000")
        shop.exchange.faults.add("status=500,body=oops,times=2")
        until(lambda: shop.get("/history/DOT")[0]["price"] == 1000)
        seen = len(shop.get("/history/DOT"))
        until(lambda: len(shop.get("/history/DOT")) > seen)
        process.send_signal(signal.SIGTERM)
        printed, said = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in said.splitlines() if line.startswith("{")]
    assert events.count("anomaly_detected") == 1
    slots = json.loads(printed)["slots"]
    # Beside the two that were made to fail, a busy machine may let a request take too long.
    assert slots["failed"] == events.count("price_collection_failed") >= 2
    assert slots["refused"] == 0
    # The stop may have met a collection under way: that one's end is neither counted nor logged.
    assert 0 <= slots["collected"] - events.count("prices_collected") <= 1
    assert slots["stored"] == 5 * slots["collected"]
