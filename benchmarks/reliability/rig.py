"""The common parts of the measurements: an exchange with a fixed clock, databases, processes."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, text

from app import bootstrap
from app.core.market import Interval, Pair, Series
from app.core.ports import CandleSource
from app.core.settings import Settings, load_settings
from app.db import schema
from app.db.database import open_engine
from app.db.models import METADATA
from app.db.session import transaction
from app.db.stores.series import SqlSeriesStore
from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from app.sandbox.wire import Reply
from app.services import loading
from app.sources.local_rate_limiter import LocalRateLimiter
from tests.support import postgres
from tests.support.processes import Server, environment

BTC: Final = Pair("BTC", "BRL")
ETH: Final = Pair("ETH", "BRL")

NOW: Final = 1_711_794_030
"""2024-03-30T10:20:30Z, where the clocks stand unless a measurement moves them: a month of minutes
before it begins on a leap day."""

PATIENCE: Final = 120.0
"""Seconds after which a process that should have ended is taken for one that hangs."""

SEED: Final = 11


class Stage(Exchange):
    """An exchange with a given clock. It signals each request, and can be made to wait."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(Simulation(SEED, {BTC: None, ETH: None}), clock=clock)
        self.asked = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def answer(self, target: str) -> Reply:
        """The exchange's reply, once it is open."""
        self.asked.set()
        self.open.wait(PATIENCE)
        return super().answer(target)


@contextmanager
def exchange(clock: Callable[[], float] = lambda: NOW) -> Iterator[tuple[Stage, str]]:
    """A running exchange and the base URL of its v4 API."""
    stage = Stage(clock)
    with serve(stage) as url:
        try:
            yield stage, f"{url}/api/v4"
        finally:
            stage.open.set()  # whoever waits for an answer would keep the server from ending


def candle_source(
    settings: Settings, clock: Callable[[], float]
) -> AbstractContextManager[CandleSource]:
    """The exchange of the settings, asked by this process as fast as it answers."""
    quick = settings.model_copy(update={"mb_requests_per_second": 10_000.0})
    return bootstrap.open_candle_source(quick, LocalRateLimiter, clock)


@dataclass(frozen=True)
class Database:
    """A database of either kind; `folder` is for what processes leave behind."""

    kind: str
    url: str
    folder: Path
    engine: Engine

    def execute(self, statement: str) -> None:
        """One statement in a transaction of its own."""
        with transaction(self.engine) as connection:
            connection.execute(text(statement))

    def empty(self) -> None:
        """Remove every row, as if it had just been migrated."""
        with transaction(self.engine) as connection:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(table.delete())

    def wait_two_minutes(self) -> None:
        """Do what time does: leases of those who died end, and PostgreSQL counts its rows."""
        self.execute("DELETE FROM leases")
        if self.kind == "postgres":
            self.execute("ANALYZE")


def load(
    db: Database,
    base_url: str,
    interval: Interval,
    days: int,
    clock: Callable[[], float] = lambda: NOW,
) -> None:
    """Load BTC in this process, as the initial loader does."""
    with candle_source(load_settings(None, mb_api_base_url=base_url), clock) as source:
        store = SqlSeriesStore(db.engine)
        series = Series(BTC, interval)
        plan = loading.plan_load(store, series, clock(), history_days=days, ask_absent_again=True)
        loading.load(plan, store, source, clock)


@dataclass(frozen=True)
class Where:
    """A kind of database, and what makes the URLs of new, empty ones.

    Entering `databases()` raises LookupError where that kind is not installed.
    """

    kind: str
    databases: Callable[[], AbstractContextManager[Callable[[], str]]]


@contextmanager
def sqlite_databases() -> Iterator[Callable[[], str]]:
    """Files in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="mms-reliability-") as folder:
        numbers = itertools.count()
        yield lambda: f"sqlite:///{Path(folder) / f'{next(numbers)}.db'}"


@contextmanager
def postgres_databases() -> Iterator[Callable[[], str]]:
    """Databases of a server of one's own."""
    with postgres_server() as server:
        yield server.create


@contextmanager
def postgres_server() -> Iterator[postgres.Postgres]:
    """A PostgreSQL server of one's own. Raises LookupError where it is not installed."""
    tools = postgres.tools()
    if tools is None:
        raise LookupError("PostgreSQL's server programs (initdb, pg_ctl) are not installed")
    with postgres.running(tools) as server:
        yield server


@contextmanager
def opened(kind: str, url: str) -> Iterator[Database]:
    """The migrated database at `url`."""
    with tempfile.TemporaryDirectory(prefix="mms-reliability-") as folder:
        engine = open_engine(url)
        try:
            schema.migrate(engine)
            yield Database(kind, url, Path(folder), engine)
        finally:
            engine.dispose()


@contextmanager
def database(where: Where) -> Iterator[Database]:
    """A new, migrated database of one kind."""
    with where.databases() as create, opened(where.kind, create()) as db:
        yield db


SQLITE: Final = Where("sqlite", sqlite_databases)
POSTGRES: Final = Where("postgres", postgres_databases)


def start(
    folder: Path, url: str, base_url: str, *arguments: str, **settings: str
) -> subprocess.Popen[str]:
    """Start `python -m arguments` against a database and an exchange."""
    mine = {
        "DB_URL": url,
        "MB_API_BASE_URL": base_url,
        "MB_REQUESTS_PER_SECOND": "10000",
        "ALLOWED_PAIRS": "BRLBTC",
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment(folder, **mine),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_loader(
    db: Database, base_url: str, interval: Interval, days: int, *options: str
) -> subprocess.Popen[str]:
    """Start the loader whose clock stands and whose transactions can be seen."""
    loader = ("benchmarks.reliability.loader", f"--now={NOW}", f"--days={days}", *options)
    return start(db.folder, db.url, base_url, *loader, INTERVALS=interval.value)


def run(
    folder: Path, url: str, base_url: str, *arguments: str, **settings: str
) -> tuple[int, str, str]:
    """Run `python -m arguments` to its end, as `start` starts it and `end` tells of it."""
    process = start(folder, url, base_url, *arguments, **settings)
    with processes([process]):
        return end(process)


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a process that ends in time."""
    try:
        out, said = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, said = process.communicate()
        raise AssertionError(f"a process hangs; it said: {said[-500:]}") from None
    return process.returncode, out, said


@contextmanager
def api(folder: Path, **settings: str) -> Iterator[Server]:
    """An API process whose log goes to a file: a pipe that nobody empties would hold it up."""
    log = folder / "api.log"
    mine = environment(folder, PORT="0", ACCESS_LOG="off", ALLOWED_PAIRS="BRLBTC", **settings)
    command = [sys.executable, "-m", "app.serve"]
    with log.open("w") as out, subprocess.Popen(command, cwd=folder, env=mine, stderr=out) as child:
        try:
            give_up = time.monotonic() + PATIENCE
            while (match := re.search(r'"url": "(http://[0-9.:]+)"', log.read_text())) is None:
                assert child.poll() is None, log.read_text()[-500:]
                assert time.monotonic() < give_up, "the API does not begin to serve"
                threading.Event().wait(0.02)
            yield Server(match[1])
            child.terminate()
            assert child.wait(PATIENCE) == 0
        finally:
            if child.poll() is None:
                child.kill()


class Watched:
    """A process whose standard output is read while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, name="reader")
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, line: str, times: int) -> bool:
        """Wait until a line has come so many times; False where the process ends before."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._count(line) >= times, PATIENCE)
            return self._count(line) >= times

    def _count(self, line: str) -> int:
        return sum(each == f"{line}\n" for each in self.lines)

    def end(self) -> tuple[int, list[str], str]:
        """Exit code, the lines that came whole, and standard error."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("a process hangs") from None
        finally:
            self._reader.join(PATIENCE)
            assert self.process.stderr is not None
            with self.process.stderr as stream:
                said = stream.read()
        return code, [line[:-1] for line in self.lines if line.endswith("\n")], said


@contextmanager
def busy() -> Iterator[None]:
    """Keep every core busy: a process for each that does nothing else."""
    loop = [sys.executable, "-c", "while True: pass"]
    with processes([subprocess.Popen(loop, text=True) for _ in range(os.cpu_count() or 1)]):
        yield


@contextmanager
def processes(started: Sequence[subprocess.Popen[str]]) -> Iterator[None]:
    """Kill whatever a failing measurement leaves running."""
    try:
        yield
    finally:
        for each in started:
            if each.poll() is None:
                each.kill()
                each.communicate()
