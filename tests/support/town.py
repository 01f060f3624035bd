"""A stand-in exchange with faults on demand, and our commands as processes that talk to it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.sandbox.exchange import Exchange
from tests.support.processes import DEADLINE, ROOT

LOADER = ("-m", "app.workers.initial_loader", "--json")
CATCH_UP = ("-m", "app.workers.incremental_loader", "--json")
COLLECTOR = ("-m", "app.workers.price_collector", "--once", "--json")
MONITOR = ("-m", "app.monitoring.gap_monitor", "--json")


@dataclass(frozen=True)
class Town:
    """A stand-in exchange and the settings of whoever talks to it."""

    exchange: Exchange
    url: str
    folder: Path

    def faults(self, *specs: str) -> None:
        """Set these faults in place of those before."""
        self.exchange.faults.clear()
        self.exchange.faults.add(*specs)

    def stored(self) -> list[Any]:
        """Every candle with its averages."""
        with closing(sqlite3.connect(self.folder / "mms.db")) as connection:
            joined = "candles LEFT JOIN averages USING (pair, interval, bucket)"
            return connection.execute(f"SELECT * FROM {joined} ORDER BY pair, bucket").fetchall()

    def change(self, statement: str) -> None:
        """Change the database behind the service's back."""
        with closing(sqlite3.connect(self.folder / "mms.db")) as connection, connection:
            connection.execute(statement)

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        environment = {
            **os.environ,
            "DB_URL": f"sqlite:///{self.folder / 'mms.db'}",
            "MB_API_BASE_URL": f"{self.url}/api/v4",
            "MB_REQUESTS_PER_SECOND": "1000",
            "COINGECKO_API_BASE_URL": f"{self.url}/api/v3",
            "COINGECKO_REQUESTS_PER_SECOND": "1000",
            "UPSTREAM_RETRY_SECONDS": "3",
            "HISTORY_DAYS": "5",
            "LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        return subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )


def logged(done: subprocess.CompletedProcess[str], event: str, *names: str) -> list[list[Any]]:
    """These values of each line that the command logged of an event."""
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return [[line[name] for name in names] for line in lines if line["event"] == event]


def by_pair(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """The summary that a loader ended with."""
    return {item["pair"]: item for item in json.loads(done.stdout.splitlines()[-1])["series"]}
