"""Live prices over real HTTP: collected from the stand-in, stored, read back and judged."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.price_shop import PriceShop, price_shop

ASK_TO_WAIT = '{"status":{"error_code":429,"error_message":"You have exceeded the Rate Limit."}}'


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[PriceShop]:
    """A shop with an empty database."""
    with price_shop(tmp_path) as made:
        yield made


def test_all_symbols_are_collected_with_one_request_and_read_back(shop: PriceShop) -> None:
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
    shop: PriceShop, coin: str, symbol: str, before: str, after: str, anomalous: bool
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
    shop: PriceShop, status: int, body: str, headers: dict[str, str]
) -> None:
    shop.exchange.prices.fail(status, body, headers)
    answered, sent, problem = shop.collect("BTC")
    assert answered == 503
    assert problem["code"] == "upstream-unavailable"
    assert problem["detail"]
    if "Retry-After" in headers:
        assert sent["retry-after"] == headers["Retry-After"]
    assert shop.get("/history/BTC") == []


def test_a_coin_without_a_price_leaves_the_others_alone(shop: PriceShop) -> None:
    shop.exchange.prices.set("ethereum", "usd", None)
    shop.exchange.prices.leave_out("solana")
    done = shop.run("--once", "--json")
    assert done.returncode == 1
    summary = json.loads(done.stdout.splitlines()[-1])
    assert set(summary["stored"]) == {"BTC", "ADA", "DOT"}
    assert "null" in summary["refused"]["ETH"]
    assert "leaves out" in summary["refused"]["SOL"]


def test_a_jump_is_one_however_often_its_quotation_is_asked_for(shop: PriceShop) -> None:
    now = int(time.time())
    shop.price("bitcoin", "60000", now - 60)
    shop.collect("BTC")
    shop.price("bitcoin", "63600", now)
    for _ in range(3):
        assert shop.collect("BTC")[0] == 200
        assert shop.get("/anomaly/BTC")["anomaly"] is True
    assert len(shop.get("/history/BTC")) == 4


def test_fetch_prints_one_price_and_stores_nothing(shop: PriceShop) -> None:
    shop.price("bitcoin", "67187.3358936566")
    done = shop.run("--fetch", "btc", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("BTC 67187.33589366 usd as of 20")
    assert json.loads(done.stdout.splitlines()[-1])["price"] == "67187.33589366"
    assert shop.get("/history/BTC") == []
    for unknown in ("FOO", "", "ſol"):
        refused = shop.run("--fetch", unknown)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"price_collector: could not start: --fetch: {unknown!r}")


def test_a_stale_price_is_marked_and_makes_no_anomaly(shop: PriceShop) -> None:
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


def test_the_loop_collects_at_once_goes_on_and_stops_within_five_seconds(shop: PriceShop) -> None:
    process = shop.start("--json", PRICE_POLL_SECONDS="1")
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
        printed, said = process.communicate(timeout=20)
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
    summary = json.loads(printed.splitlines()[-1])
    assert (summary["command"], summary["exit"]) == ("price_collector", 0)
    slots = summary["slots"]
    assert (slots["failed"], slots["skipped"], slots["refused"]) == (2, 0, 0)
    # The stop may have met a collection under way: that one's end is neither counted nor logged.
    assert 0 <= slots["collected"] - events.count("prices_collected") <= 1
    assert slots["stored"] == 5 * slots["collected"]
    assert 0 <= summary["events"]["PriceCollected"] - slots["stored"] <= 5


def test_on_a_terminal_of_eighty_columns_every_price_is_seen_in_full(shop: PriceShop) -> None:
    for coin, price in (("bitcoin", "123456.12345678"), ("ethereum", "4567.87654321")):
        shop.price(coin, price)
    shop.exchange.prices.set("cardano", "usd", Decimal("0.5"), updated_at=int(time.time()) - 5_000)
    shop.exchange.prices.leave_out("solana")
    terminal, far_end = pty.openpty()
    fcntl.ioctl(far_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = bytearray()
    with subprocess.Popen(
        [sys.executable, "-m", "app.workers.price_collector"],
        env=shop.environment | {"PRICE_POLL_SECONDS": "1", "TERM": "xterm"},
        cwd=shop.folder,
        stdin=far_end,
        stdout=far_end,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(far_end)
        try:
            deadline = time.monotonic() + 30
            while seen.count(b"123456.12345678") < 6:  # one, two, two: some of them drawn twice
                ready, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
                assert ready, seen.decode()
                seen += os.read(terminal, 65_536)
            process.terminate()
            # A terminal that nobody reads any more would hold up the last lines.
            with suppress(OSError):
                while select.select([terminal], [], [], 10.0)[0]:
                    seen += os.read(terminal, 65_536) or b""
            assert process.wait(10) == 0
        finally:
            process.kill()
            os.close(terminal)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()).replace("\r", "\n").split("\n")
    last = lines[max(n for n, line in enumerate(lines) if "Spot prices" in line) :]
    assert max(map(len, last)) <= 80
    table = {line.split()[1]: line for line in last if line.startswith(("│", "┃"))}
    assert table["BTC"].count("123456.12345678") == 2
    assert table["ETH"].count("4567.87654321") == 2
    assert re.search(r"\b[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\b", table["BTC"])
    assert "stale" in table["ADA"]
    assert "refused" in table["SOL"]
    assert {"symbol", "latest", "before"} <= set(table["symbol"].split())
