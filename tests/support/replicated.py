"""A database of the application on a primary, read from its replica."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.db import schema
from app.db.database import Database, watched
from app.db.session import open_engine
from tests.support.postgres import Postgres


@contextmanager
def replicated_on(primary: Postgres, replica: Postgres) -> Iterator[Database]:
    """A new, migrated database; its replica is in use."""
    url = primary.create()
    engine = open_engine(url)
    schema.migrate(engine)
    engine.dispose()
    made = watched(url, replica.url(url))
    assert made.replica_healthy is not None
    assert made.replica_healthy()
    try:
        yield made
    finally:
        made.close()
        primary.drop(url)
