"""A stand-in exchange, and databases of both kinds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.town import Town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """A stand-in exchange, and an empty folder for the database of who talks to it."""
    exchange = Exchange(Simulation(1), clock=time.time)
    with serve(exchange) as url:
        yield Town(exchange, url, tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def db_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once for each kind that is supported."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
