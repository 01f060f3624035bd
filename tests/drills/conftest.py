"""The kinds of databases that the measurements of benchmarks.reliability run on."""

from __future__ import annotations

import pytest

from benchmarks.reliability.rig import SQLITE, Where
from tests.support.postgres import Postgres
from tests.support.reliability import on


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
