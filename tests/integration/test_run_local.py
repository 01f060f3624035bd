"""The service on one machine as processes: what becomes of its children when it is killed."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from app.sandbox.exchange import COINGECKO_PATH, V4_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.processes import DEADLINE, process


def test_a_loader_and_a_collector_end_with_a_service_that_is_killed(tmp_path: Path) -> None:
    with serve(Exchange(Simulation(5), clock=time.time)) as url:
        settings = {
            "MB_API_BASE_URL": url + V4_PATH,
            # Its second request has to wait for a minute.
            "MB_REQUESTS_PER_SECOND": "0.015",
            "COINGECKO_API_BASE_URL": url + COINGECKO_PATH,
            "COINGECKO_REQUESTS_PER_SECOND": "1000",
            "PRICE_POLL_SECONDS": "1",
            "PORT": "0",
        }
        with process(tmp_path, "-m", "app.local", **settings) as service:
            assert service.stderr is not None
            for line in service.stderr:
                if "prices_collected" in line and leases(tmp_path):
                    break
            service.kill()
            # All three write to one pipe, which ends when the last of them has.
            _, said = service.communicate(timeout=DEADLINE)
    assert "initial_loader: terminated; what was committed stays" in said
    assert "Traceback" not in said
    assert leases(tmp_path) == []


def leases(folder: Path) -> list[tuple[str]]:
    """What is being loaded, by the leases in the database."""
    with closing(sqlite3.connect(folder / "mms.db")) as connection:
        try:
            return connection.execute("SELECT name FROM leases").fetchall()
        except sqlite3.OperationalError:  # not migrated yet
            return []
