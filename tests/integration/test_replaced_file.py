"""A SQLite file that is deleted, moved or replaced while programs have it open."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from app.core.errors import ConfigurationError, StoreUnavailable, StoreUnusable
from app.core.market import Pair
from app.db import schema
from app.db.series import SqlSeriesStore
from app.db.session import open_engine, ping, reading, require_file, transaction, write_ahead
from app.sandbox.exchange import COINGECKO_PATH, V4_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.candles import BTC, DAY, daily, day
from tests.support.processes import ROOT, Server, api_server, ended, process

READ = "/BRLBTC/mms?range=20"
BELIEVED = 0.5
"""Seconds for which a cached series is served without asking whether it is still the newest."""


@dataclass
class Shop:
    """An API that has its file open, and the loader beside it."""

    api: Server
    file: Path
    environment: dict[str, str]

    def read(self) -> tuple[int, dict[str, str], Any]:
        """Averages that were not believed before this was called."""
        time.sleep(BELIEVED)
        return self.api.ask("GET", READ)

    def load(self, file: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the initial loader, on the same path or on another."""
        changed = {"DB_URL": f"sqlite:///{file or self.file}"}
        return subprocess.run(
            [sys.executable, "-m", "app.workers.initial_loader"],
            env=self.environment | changed,
            cwd=self.file.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A loaded one; what was loaded lies beside the file still, as SQLite leaves it."""
    exchange = Exchange(Simulation(7, {Pair("BTC", "BRL"): None}), clock=time.time)
    with serve(exchange) as url:
        environment = {
            **os.environ,
            "DB_URL": f"sqlite:///{tmp_path / 'mms.db'}",
            "ALLOWED_PAIRS": "BRLBTC",
            "HISTORY_DAYS": "30",
            "MB_API_BASE_URL": url + V4_PATH,
            "MB_REQUESTS_PER_SECOND": "1000",
            "COINGECKO_API_BASE_URL": url + COINGECKO_PATH,
            "COINGECKO_REQUESTS_PER_SECOND": "1000",
            "PYTHONPATH": str(ROOT),
        }
        with api_server(environment, tmp_path) as api:
            made = Shop(api, tmp_path / "mms.db", environment)
            assert made.load().returncode == 0
            assert len(made.read()[2]) == 30
            assert Path(f"{made.file}-wal").stat().st_size > 100_000
            yield made


def prices(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        found: int = connection.execute("SELECT count(*) FROM prices").fetchone()[0]
        return found


@pytest.mark.parametrize("beside", [[], ["-wal", "-shm"]], ids=["alone", "with-what-lies-beside"])
def test_a_deleted_file_is_503_until_a_loader_has_made_a_new_one(
    shop: Shop, beside: list[str]
) -> None:
    shop.file.unlink()
    for suffix in beside:
        Path(f"{shop.file}{suffix}").unlink()
    status, _, body = shop.read()
    assert (status, body["code"]) == (503, "database-unavailable")
    assert shop.api.ask("POST", "/collect-once/BTC")[0] == 503
    assert shop.api.ask("GET", "/health")[2]["database"] == "unavailable"
    assert shop.api.ask("GET", "/readyz")[0] == 503
    assert not shop.file.exists()

    assert shop.load().returncode == 0
    assert len(shop.read()[2]) == 30
    assert shop.api.ask("GET", "/health")[:1] == (200,)
    assert shop.api.ask("POST", "/collect-once/BTC")[0] == 200
    assert prices(shop.file) == 1


def test_a_loader_makes_a_new_file_before_the_api_has_noticed_that_the_old_one_is_gone(
    shop: Shop,
) -> None:
    shop.file.unlink()
    loaded = shop.load()
    assert loaded.returncode == 0, loaded.stderr
    assert shop.api.ask("POST", "/collect-once/BTC")[0] == 200
    assert prices(shop.file) == 1


def test_a_file_that_was_moved_away_and_back_has_all_that_was_committed(shop: Shop) -> None:
    before = shop.read()[2]
    aside = shop.file.with_name("aside.db")
    shop.file.rename(aside)
    assert shop.read()[0] == 503
    aside.rename(shop.file)
    assert shop.read()[::2] == (200, before)
    assert shop.api.ask("POST", "/collect-once/BTC")[0] == 200
    assert prices(shop.file) == 1


def test_a_file_that_was_moved_away_is_whole_by_itself_once_that_was_noticed(shop: Shop) -> None:
    aside = shop.file.with_name("aside.db")
    shop.file.rename(aside)
    assert shop.read()[0] == 503
    alone = shop.file.with_name("alone.db")
    shutil.copyfile(aside, alone)
    with closing(sqlite3.connect(alone)) as connection:
        assert connection.execute("SELECT count(*) FROM averages").fetchone()[0] > 200
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_another_database_that_is_moved_in_is_served_and_not_spoiled(shop: Shop) -> None:
    other = shop.file.with_name("other.db")
    with process(shop.file.parent, "-m", "app.db.migrate", DB_URL=f"sqlite:///{other}") as child:
        assert ended(child)[0] == 0
    shop.api.ask("POST", "/collect-once/BTC")
    other.replace(shop.file)
    status, headers, body = shop.read()
    assert (status, body) == (200, [])
    assert "make initial_load" in headers["x-data-reason"]
    assert prices(shop.file) == 0
    assert shop.load().returncode == 0
    assert len(shop.read()[2]) == 30
    with closing(sqlite3.connect(shop.file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_file_of_another_schema_is_503_until_it_is_migrated(shop: Shop) -> None:
    other = shop.file.with_name("older.db")
    engine = open_engine(f"sqlite:///{other}")
    write_ahead(engine)
    with transaction(engine) as connection:
        schema.upgrade(connection, "0003")
    engine.dispose()
    other.replace(shop.file)
    assert shop.read()[0] == 503
    assert shop.api.ask("GET", "/health")[2]["database"] == "unavailable"
    with process(shop.file.parent, "-m", "app.db.migrate") as child:
        assert ended(child)[0] == 0
    assert shop.read()[::2] == (200, [])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a database lies."""
    return tmp_path / "mms.db"


@pytest.fixture
def engine(file: Path) -> Iterator[Engine]:
    """An engine that has it open."""
    made = open_engine(f"sqlite:///{file}")
    schema.migrate(made)
    ping(made)
    yield made
    made.dispose()


def test_a_file_that_is_not_there_is_named_and_not_made(file: Path) -> None:
    engine = open_engine(f"sqlite:///{file}")
    for ask in (ping, lambda engine: SqlSeriesStore(engine).state(BTC, DAY)):
        with pytest.raises(StoreUnusable, match=f"no database at {file}.*make migrate"):
            ask(engine)
    with pytest.raises(StoreUnusable, match="no database at"), transaction(engine):
        pytest.fail("there is nothing to write to")
    engine.dispose()
    assert list(file.parent.iterdir()) == []


def test_a_start_in_production_makes_no_file(tmp_path: Path) -> None:
    with process(tmp_path, "-m", "app.serve", ENV="prod", SINGLE_NODE="true") as child:
        code, said = ended(child)
    assert (code, said.count("\n")) == (2, 1)
    assert "make migrate" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("replaced", [False, True])
def test_a_commit_into_a_file_that_is_gone_is_no_success(
    engine: Engine, file: Path, replaced: bool
) -> None:
    store = SqlSeriesStore(engine)
    other = open_engine(f"sqlite:///{file.with_name('other.db')}")
    schema.migrate(other)
    other.dispose()

    def write() -> None:
        with store.begin(BTC, DAY) as unit:
            unit.put_candles(daily([1, 2, 3]))
            unit.finish(changed=True, now=day(5))
            if replaced:
                file.with_name("other.db").replace(file)
            else:
                file.unlink()

    with pytest.raises(StoreUnavailable, match="lost with it: run this again"):
        write()
    if not replaced:
        schema.migrate(engine)
    with store.begin(BTC, DAY) as unit:
        assert unit.candles(0, day(9)) == []


def test_what_fails_in_a_file_that_is_gone_fails_for_its_own_reason(
    engine: Engine, file: Path
) -> None:
    def fail() -> None:
        with transaction(engine):
            file.unlink()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_another_programs_file_in_its_place_is_refused_and_left_alone(
    engine: Engine, file: Path
) -> None:
    schema.require_always(engine)
    foreign = file.with_name("customers.db")
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    before = foreign.read_bytes()
    foreign.replace(file)
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="make migrate"):
            ping(engine)
    assert file.read_bytes() == before


def test_every_connection_leaves_the_old_file(engine: Engine, file: Path) -> None:
    with reading(engine) as one, reading(engine) as two:
        assert one.scalar(text("SELECT 1")) == two.scalar(text("SELECT 1"))
        file.unlink()
    schema.migrate(engine)
    with transaction(engine) as connection:
        connection.execute(text("CREATE TABLE mark (x)"))
    for _ in range(2):
        with reading(engine) as one, reading(engine) as two:
            for each in (one, two):
                assert each.scalar(text("SELECT count(*) FROM mark")) == 0


def test_a_file_that_somebody_still_reads_is_left_once_that_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "mms.db"
    engine = open_engine(f"sqlite:///{file}?timeout=0.1")
    schema.migrate(engine)
    with transaction(engine) as connection:
        connection.execute(text("INSERT INTO leases VALUES ('a', 'b', 1)"))
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM leases").fetchall()
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM leases"))
    with reading(engine) as one, reading(engine) as two:
        for each in (one, two):
            each.exec_driver_sql("PRAGMA busy_timeout=50")
    file.rename(tmp_path / "aside.db")
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        ping(engine)
    reader.close()
    with pytest.raises(StoreUnusable, match="no database"):
        ping(engine)
    engine.dispose()


def test_a_file_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    engine = open_engine(f"sqlite:///{folder}/mms.db")
    folder.rmdir()
    with pytest.raises(
        ConfigurationError, match=f"DB_URL's file {folder}/mms.db cannot be made: No"
    ):
        schema.migrate(engine)
    engine.dispose()


def test_a_database_in_memory_is_refused_in_one_way() -> None:
    said = set()
    for url in ("sqlite://", "sqlite:///:memory:"):
        for refuses in (open_engine, require_file):
            with pytest.raises(ConfigurationError) as refused:
                refuses(url)
            said.add(str(refused.value))
    assert len(said) == 1
