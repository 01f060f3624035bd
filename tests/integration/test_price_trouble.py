"""Live prices when something is in the way: a locked database, a crowd, a stop."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.patience import until
from tests.support.price_shop import PriceShop, price_shop
from tests.support.processes import DEADLINE


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[PriceShop]:
    """A shop with an empty database."""
    with price_shop(tmp_path, COLLECT_MIN_SECONDS="0") as made:
        yield made


@contextmanager
def locked(database: str) -> Iterator[None]:
    """Another program keeps the file locked for writing."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_while_the_database_is_locked_no_call_is_spent_and_the_answer_names_the_database(
    shop: PriceShop,
) -> None:
    assert shop.collect("BTC")[0] == 200
    with locked(shop.database):
        status, _, problem = shop.collect("BTC")
        assert (status, problem["code"]) == (503, "database-unavailable")
        once = shop.run("--once")
        assert once.returncode == 1
        assert "database is locked" in once.stderr
        # What stores nothing needs no lock.
        assert shop.run("--fetch", "BTC").returncode == 0
    assert shop.asked() == 2
    assert len(shop.get("/history/BTC")) == 1
    assert shop.collect("BTC")[0] == 200


def test_a_collector_that_waits_for_a_locked_database_stops_while_it_is_locked(
    shop: PriceShop,
) -> None:
    process = shop.start("--json", PRICE_POLL_SECONDS="1")
    try:
        until(lambda: len(shop.get("/history/DOT")) >= 1)
        with locked(shop.database):
            assert process.stderr is not None
            assert any("price_collection_failed" in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert json.loads(printed)["slots"]["collected"] >= 1


def test_fetch_opens_no_database_and_makes_none(tmp_path: Path) -> None:
    with price_shop(tmp_path) as shop:
        elsewhere = tmp_path / "elsewhere" / "mms.db"
        for url in (f"sqlite:///{elsewhere}", "postgresql://mms@127.0.0.1:1/mms"):
            fetched = shop.run("--fetch", "BTC", DB_URL=url)
            assert fetched.returncode == 0, fetched.stderr
        assert not elsewhere.parent.exists()


def test_a_crowd_that_asks_for_single_prices_does_not_keep_the_collector_from_its_turn(
    tmp_path: Path,
) -> None:
    with price_shop(tmp_path, COINGECKO_REQUESTS_PER_SECOND="2", COLLECT_MIN_SECONDS="0") as shop:
        over = threading.Event()
        answers: list[int] = []

        def press() -> None:
            while not over.wait(0.05):
                answers.append(shop.collect("BTC")[0])

        crowd = [threading.Thread(target=press) for _ in range(12)]
        for thread in crowd:
            thread.start()
        try:
            until(lambda: 429 in answers)  # there are more than can have a turn in time
            collected = shop.run("--once")
        finally:
            over.set()
            for thread in crowd:
                thread.join()
    assert collected.returncode == 0, collected.stdout
    assert set(answers) == {200, 429}
