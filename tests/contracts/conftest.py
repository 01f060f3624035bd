"""The stores that one suite holds to one contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.db import schema
from app.db.database import Database
from app.db.memory import MemorySeriesStore
from app.db.routed import RoutedSeriesStore
from app.db.series import SqlSeriesStore
from app.db.session import open_engine
from tests.support.postgres import Postgres
from tests.support.replicated import replicated_on

Store = MemorySeriesStore | SqlSeriesStore | RoutedSeriesStore


@pytest.fixture
def replicated(postgres_pair: tuple[Postgres, Postgres]) -> Iterator[Database]:
    """An empty database on a primary, read from its replica."""
    with replicated_on(*postgres_pair) as made:
        yield made


@pytest.fixture(params=["memory", "sqlite", "postgres", "replica"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemorySeriesStore()
        return
    if request.param == "replica":
        replicated: Database = request.getfixturevalue("replicated")
        assert isinstance(replicated.series, RoutedSeriesStore)
        yield replicated.series
        return
    if request.param == "sqlite":
        yield from _sql(request.getfixturevalue("sqlite_url"))
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create()
    yield from _sql(url)
    server.drop(url)


def _sql(url: str) -> Iterator[SqlSeriesStore]:
    engine = open_engine(url)
    schema.migrate(engine)
    yield SqlSeriesStore(engine)
    engine.dispose()
