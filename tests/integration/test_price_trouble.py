"""Live prices when something is in the way: a locked database, a crowd, wrong settings, a stop."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.core.prices import Coin, SpotPrice
from app.db.prices import SqlPriceStore
from app.db.session import open_engine
from app.sandbox.exchange import COINGECKO_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support import served
from tests.support.patience import until
from tests.support.price_shop import PriceShop, price_shop
from tests.support.processes import environment

DAY = 86_400
BTC = Coin("BTC", "bitcoin")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[PriceShop]:
    """A shop with an empty database."""
    with price_shop(tmp_path) as made:
        yield made


@contextmanager
def locked(database: str) -> Iterator[None]:
    """Another program keeps the file locked for writing."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def stopped(process: subprocess.Popen[str]) -> tuple[float, str]:
    """Send SIGTERM; returns how long the end took, and what was printed."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=30)
    return time.monotonic() - begun, printed


def test_while_the_database_is_locked_no_call_is_spent_and_the_answer_names_the_database(
    shop: PriceShop,
) -> None:
    assert shop.collect("BTC")[0] == 200
    with locked(shop.database):
        status, _, problem = shop.collect("BTC")
        assert (status, problem["code"]) == (503, "database-unavailable")
        once = shop.run("--once")
        assert once.returncode == 1
        assert "kept the database locked" in once.stderr
        # What stores nothing needs no lock.
        assert shop.run("--fetch", "BTC").returncode == 0
    assert shop.asked() == 2
    assert len(shop.get("/history/BTC")) == 1
    assert shop.collect("BTC")[0] == 200


def test_a_collector_that_waits_for_a_locked_database_stops_in_time(
    shop: PriceShop,
) -> None:
    process = shop.start("--json", PRICE_POLL_SECONDS="1")
    try:
        until(lambda: len(shop.get("/history/DOT")) >= 1)
        with locked(shop.database):
            time.sleep(1.2)  # it is in its next slot
            took, printed = stopped(process)
        assert process.returncode == 0
        assert took < 5.0
        assert json.loads(printed.splitlines()[-1])["slots"]["collected"] >= 1
    finally:
        process.kill()
        process.communicate()


def test_a_stop_that_is_asked_for_again_and_again_ends_as_the_first_one_did(
    shop: PriceShop,
) -> None:
    process = shop.start("--json")
    try:
        until(lambda: len(shop.get("/history/DOT")) == 1)
        give_up = time.monotonic() + 10.0
        while process.poll() is None and time.monotonic() < give_up:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.002)
        printed, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert json.loads(printed.splitlines()[-1])["exit"] == 0
    finally:
        process.kill()
        process.communicate()


def test_fetch_opens_no_database_and_makes_none(tmp_path: Path) -> None:
    with price_shop(tmp_path) as shop:
        elsewhere = tmp_path / "elsewhere" / "mms.db"
        for url in (f"sqlite:///{elsewhere}", "postgresql://mms@127.0.0.1:1/mms"):
            fetched = shop.run("--fetch", "BTC", DB_URL=url)
            assert fetched.returncode == 0, fetched.stderr
        assert not elsewhere.parent.exists()


def test_collecting_once_removes_what_is_older_than_the_retention(shop: PriceShop) -> None:
    engine = open_engine(shop.environment["DB_URL"])
    store, now = SqlPriceStore(engine), int(time.time())
    for age in (9, 3, 1):
        store.add([SpotPrice(BTC, age, "usd", now - age * DAY)], now - age * DAY)
    assert shop.run("--once").returncode == 0
    assert len(store.newest("BTC", "usd", 9)) == 4
    assert shop.run("--once", PRICE_RETENTION_DAYS="2").returncode == 0
    assert [price.price for price in store.newest("BTC", "usd", 9)][2:] == [1]
    engine.dispose()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COINGECKO_API_KEY", "a b"),
        ("COINGECKO_API_BASE_URL", "http://127.0.0.1:99999/api/v3"),
        ("MB_API_BASE_URL", "https://[::1/api/v4"),
        ("MB_LEGACY_API_BASE_URL", "https://exchange..example"),
        ("ANOMALY_THRESHOLD", "0.05,ADA:0.1,"),
    ],
)
@pytest.mark.parametrize("module", ["app.serve", "app.workers.price_collector"])
def test_what_could_not_be_asked_later_stops_the_start_with_one_line_that_names_the_setting(
    tmp_path: Path, module: str, name: str, value: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=tmp_path,
        env=environment(tmp_path, PORT="0", **{name: value}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert name in line
    assert not (tmp_path / "mms.db").exists()


def test_a_crowd_that_asks_for_single_prices_does_not_keep_the_collector_from_its_slots(
    tmp_path: Path,
) -> None:
    exchange = Exchange(Simulation(4), clock=time.time)
    with serve(exchange) as url:
        settings = {
            "COINGECKO_API_BASE_URL": url + COINGECKO_PATH,
            "COINGECKO_REQUESTS_PER_SECOND": "4",
            "PRICE_POLL_SECONDS": "2",
        }
        with served.api(tmp_path, "api", **settings) as api:
            over = threading.Event()
            answers: list[int] = []

            def press() -> None:
                while not over.wait(0.05):
                    with closing(api.connect()) as connection:
                        connection.request("POST", "/collect-once/BTC")
                        answers.append(connection.getresponse().status)

            crowd = [threading.Thread(target=press) for _ in range(16)]
            for thread in crowd:
                thread.start()
            collector = subprocess.Popen(
                [sys.executable, "-m", "app.workers.price_collector", "--json"],
                cwd=tmp_path,
                env=environment(tmp_path, **settings),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:

                def for_all() -> int:
                    return sum("," in item.query["ids"] for item in exchange.requests)

                until(lambda: for_all() >= 4, 40.0)
                _, printed = stopped(collector)
            finally:
                over.set()
                for thread in crowd:
                    thread.join(30.0)
                collector.kill()
                collector.communicate()
    slots = json.loads(printed.splitlines()[-1])["slots"]
    assert slots["collected"] >= 3  # the stop may meet the fourth one under way
    assert slots["failed"] == slots["skipped"] == 0
    assert {200, 503} == set(answers)
