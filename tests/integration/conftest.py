"""A stand-in exchange, and the kinds of databases that the measurements of benchmarks.reliability run on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from benchmarks.reliability.rig import SQLITE, Where
from tests.support.postgres import Postgres
from tests.support.reliability import on
from tests.support.town import Town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """A stand-in exchange, and an empty folder for the database of who talks to it."""
    with serve(Exchange(Simulation(1), clock=time.time)) as url:
        yield Town(url, tmp_path)


@pytest.fixture
def on_postgres(postgres_server: Postgres) -> Where:
    """Databases of the server that all tests share."""
    return on(postgres_server)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest) -> Where:
    """Either kind of database in turn."""
    if request.param == "sqlite":
        return SQLITE
    found: Where = request.getfixturevalue("on_postgres")
    return found
