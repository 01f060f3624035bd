"""Our commands in this process: what an operator runs, without an interpreter's start for each."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from app.core.market import DAY, Interval, Pair
from app.sandbox.exchange import COINGECKO_PATH, V4_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.logs import log_as_before
from tests.support.processes import environment

BTC = Pair("BTC", "BRL")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, standard output and standard error."""

    code: int
    shown: str
    said: str

    @property
    def summary(self) -> dict[str, Any]:
        """The line of JSON, which is all of standard output."""
        found: dict[str, Any] = json.loads(self.shown)
        return found

    @property
    def series(self) -> dict[str, Any]:
        """What the line of JSON says of the first series."""
        found: dict[str, Any] = self.summary["series"][0]
        return found


@contextmanager
def inside(folder: Path, **settings: str) -> Iterator[tuple[StringIO, StringIO]]:
    """Work in a folder, with these settings and none of this machine's.

    Gives what is written to standard output and to standard error.
    """
    shown, said = StringIO(), StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        log_as_before(),
        redirect_stdout(shown),
        redirect_stderr(said),
    ):
        patch.chdir(folder)
        for name in list(os.environ):
            patch.delenv(name)
        for name, value in environment(folder, **settings).items():
            patch.setenv(name, value)
        yield shown, said


def run(folder: Path, module: str, *arguments: str, **settings: str) -> Ended:
    """Run a command as `inside` says."""
    with inside(folder, **settings) as (shown, said):
        try:
            code = import_module(f"app.{module}").main(arguments)
        except SystemExit as end:  # --help, or a command line that argparse refuses
            code = end.code
    return Ended(code, shown.getvalue(), said.getvalue())


@dataclass(frozen=True)
class Service:
    """Commands against one SQLite file and one stand-in exchange, which they ask over HTTP."""

    exchange: Exchange
    folder: Path
    settings: dict[str, str]

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "mms.db"

    def run(self, module: str, *arguments: str, **changed: str) -> Ended:
        """Run a command with its line of JSON."""
        return run(self.folder, module, "--json", *arguments, **self.settings | changed)

    def rows(self) -> list[Any]:
        """Bucket, close and averages of every candle."""
        return self.query(
            "SELECT bucket, close, mms_20, mms_50, mms_200 FROM candles "
            "LEFT JOIN averages USING (pair, interval, bucket) ORDER BY pair, bucket"
        )

    def query(self, statement: str, *values: object) -> list[Any]:
        """What the database holds, or is changed to behind the service's back."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(statement, values).fetchall()


@contextmanager
def service(folder: Path, exchange: Exchange | None = None, **settings: str) -> Iterator[Service]:
    """A service of one pair with 20 days, nothing loaded yet."""
    exchange = exchange or Exchange(Simulation(5, {BTC: None}), clock=time.time)
    with serve(exchange) as url:
        usual = {
            "MB_API_BASE_URL": url + V4_PATH,
            "MB_REQUESTS_PER_SECOND": "1000",
            "COINGECKO_API_BASE_URL": url + COINGECKO_PATH,
            "COINGECKO_REQUESTS_PER_SECOND": "1000",
            "HISTORY_DAYS": "20",
            "ALLOWED_PAIRS": "BRLBTC",
        }
        yield Service(exchange, folder, usual | settings)


def days_ago(number: int) -> int:
    """The bucket that closed `number` days before the newest closed one."""
    return Interval.DAY.last_closed(time.time()) - number * DAY
