"""The loaders over months: missed days, revised candles, two at once. Real commands, real HTTP."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from app.core.market import DAY, WINDOWS, Interval, Pair
from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from app.sandbox.wire import Reply

ROOT = Path(__file__).resolve().parents[2]
BTC = Pair("BTC", "BRL")

Row = tuple[int, int, int | None, int | None, int | None]


class Doored(Exchange):
    """An exchange that answers nobody while its door is not open."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(Simulation(11, {BTC: None}), clock=clock)
        self.open = threading.Event()
        self.open.set()

    def answer(self, target: str) -> Reply:
        reply = super().answer(target)
        self.open.wait(60)
        return reply


@dataclass
class Shop:
    """One database, one exchange whose clock is set, and the commands between them."""

    exchange: Doored
    clock: list[float]
    environment: dict[str, str]
    folder: Path

    def start(self, module: str, *arguments: str, **changed: str) -> subprocess.Popen[str]:
        """Start a loader."""
        return subprocess.Popen(
            [sys.executable, "-m", f"app.workers.{module}", "--json", *arguments],
            env=self.environment | changed,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, module: str, *arguments: str) -> dict[str, Any]:
        """Run a loader to its end; returns what it did to the series."""
        return finished(self.start(module, *arguments))

    def rows(self) -> list[Row]:
        """Bucket, close and averages of every candle."""
        return self.query(
            "SELECT bucket, close, mms_20, mms_50, mms_200 FROM candles "
            "LEFT JOIN averages USING (pair, interval, bucket) ORDER BY bucket"
        )

    def query(self, statement: str) -> list[Any]:
        """What the database holds."""
        connection = sqlite3.connect(self.folder / "mms.db")
        found = connection.execute(statement).fetchall()
        connection.close()
        return found


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The end of a loader that must succeed: what it did to the series."""
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    summary: dict[str, Any] = json.loads(shown.splitlines()[-1])
    series: dict[str, Any] = summary["series"][0]
    return series


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """An exchange that stands 40 days ago."""
    clock = [time.time() - 40 * DAY]
    exchange = Doored(lambda: clock[0])
    with serve(exchange) as url:
        environment = {
            **os.environ,
            "DB_URL": f"sqlite:///{tmp_path / 'mms.db'}",
            "MB_API_BASE_URL": f"{url}/api/v4",
            "MB_REQUESTS_PER_SECOND": "1000",
            "HISTORY_DAYS": "120",
            "ALLOWED_PAIRS": "BRLBTC",
            "PYTHONPATH": str(ROOT),
        }
        yield Shop(exchange, clock, environment, tmp_path)


def by_hand(rows: list[Row]) -> list[Row]:
    """The rows with their averages recomputed by rational arithmetic from the closes."""
    closes = [row[1] for row in rows]
    return [
        (
            row[0],
            row[1],
            *(
                round(Fraction(sum(closes[i + 1 - n : i + 1]), n)) if i + 1 >= n else None
                for n in WINDOWS
            ),
        )  # type: ignore[misc] # three windows
        for i, row in enumerate(rows)
    ]


def test_forty_missed_days_come_back_in_one_run_and_equal_a_clean_load(shop: Shop) -> None:
    assert shop.run("initial_loader")["inserted"] == 120 + 199 - 40
    shop.clock[0] = time.time()
    caught_up = shop.run("incremental_loader")
    assert (caught_up["inserted"], caught_up["unchanged"]) == (40, 3)
    rows = shop.rows()
    assert rows == by_hand(rows)
    (shop.folder / "mms.db").unlink()
    shop.run("initial_loader")
    assert shop.rows() == rows


def test_a_close_revised_150_days_ago_corrects_exactly_the_averages_that_contain_it(
    shop: Shop,
) -> None:
    shop.clock[0] = time.time()
    shop.run("initial_loader")
    before = shop.rows()
    revised = Interval.DAY.last_closed(shop.clock[0]) - 150 * DAY
    old = shop.exchange.book.candles(BTC, Interval.DAY, revised, revised, shop.clock[0])[0]
    new = replace(old, close=old.low if old.close != old.low else old.high)
    shop.exchange.book.replace(BTC, Interval.DAY, [new])
    assert shop.run("incremental_loader")["revised"] == 0
    report = shop.run("incremental_loader", "--reread", "200")
    assert (report["revised"], report["averages"]) == (1, 151)
    after = shop.rows()
    assert after == by_hand(after)
    changed = {row[0] for row, was in zip(after, before, strict=True) if row != was}
    assert changed == {revised + number * DAY for number in range(151)}
    for row, was in zip(after, before, strict=True):
        for column, window in enumerate(WINDOWS, start=2):
            within = revised <= row[0] < revised + window * DAY
            contains = within and was[column] is not None
            assert (row[column] != was[column]) == contains


@contextmanager
def held_up(shop: Shop) -> Iterator[subprocess.Popen[str]]:
    """An incremental loader that has the lease of the pair and gets no answer within the block."""
    shop.exchange.open.clear()
    first = shop.start("incremental_loader")
    try:
        deadline = time.monotonic() + 60
        while not shop.query("SELECT * FROM leases"):
            assert time.monotonic() < deadline
            assert first.poll() is None
            time.sleep(0.02)
        yield first
    finally:
        shop.exchange.open.set()
    assert finished(first)["status"] == "ok"


def waiting(second: subprocess.Popen[str]) -> bool:
    """Whether the loader says that it waits; returns once it has, or has ended."""
    assert second.stderr is not None
    return any('"load_waits_for_another"' in line for line in second.stderr)


def test_a_second_loader_waits_for_the_first_and_then_has_nothing_left_to_do(shop: Shop) -> None:
    shop.clock[0] = time.time()
    shop.run("initial_loader")
    shop.exchange.forget_requests()
    with held_up(shop):
        second = shop.start("incremental_loader")
        assert waiting(second)
    shown, said = second.communicate(timeout=60)
    assert second.returncode == 0
    assert "BRLBTC 1d: another loader has just loaded it\n" in shown
    assert "load_left_to_another" in said
    series = json.loads(shown.splitlines()[-1])["series"][0]
    assert (series["status"], series["error"]) == ("taken", "TakenByAnother")
    assert len(shop.exchange.requests) == 1
    assert shop.query("SELECT * FROM leases") == []


def test_an_initial_loader_that_meets_an_incremental_one_still_does_what_it_was_asked(
    shop: Shop,
) -> None:
    shop.clock[0] = time.time()
    shop.run("initial_loader", "--days", "10")
    with held_up(shop):
        second = shop.start("initial_loader", "--days", "400")
        assert waiting(second)
    shown, said = second.communicate(timeout=60)
    assert second.returncode == 0, shown + said
    series = json.loads(shown.splitlines()[-1])["series"][0]
    # Of the 390 days that 10 lack to 400, the incremental one fetched those of the served 120.
    assert (series["status"], series["inserted"]) == ("ok", 390 - (120 - 10))
    newest = Interval.DAY.last_closed(shop.clock[0])
    wanted = [newest - number * DAY for number in reversed(range(400 + 199))]
    assert [row[0] for row in shop.rows()] == wanted
    assert shop.query("SELECT * FROM leases") == []


def test_the_lease_of_a_killed_loader_ends_by_itself(shop: Shop) -> None:
    shop.clock[0] = time.time()
    shop.run("initial_loader")
    killed = shop.start("incremental_loader", "--reread", "1500", MB_REQUESTS_PER_SECOND="0.5")
    deadline = time.monotonic() + 30
    while not shop.query("SELECT * FROM leases"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    connection = sqlite3.connect(shop.folder / "mms.db")
    with connection:
        connection.execute("UPDATE leases SET expires_at = expires_at - 120")
    connection.close()
    assert shop.run("incremental_loader")["status"] == "ok"


def test_events_are_counted_in_the_summary(shop: Shop) -> None:
    process = shop.start("initial_loader")
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 0
    events = json.loads(shown.splitlines()[-1])["events"]
    assert events["CandlesLoaded"] >= 1
    assert events["AveragesCalculated"] >= 1
    assert events["dropped"] == 0
    assert '"candles_loaded"' in said
    assert '"averages_calculated"' in said
