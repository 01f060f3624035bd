"""The stores that one suite holds to one contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.db import schema
from app.db.memory import MemorySeriesStore
from app.db.series import SqlSeriesStore
from app.db.session import open_engine

Store = MemorySeriesStore | SqlSeriesStore


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemorySeriesStore()
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
