"""A database of the application on a primary, read from its replica."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.db import schema
from app.db.database import Database, with_replica
from app.db.session import open_engine
from tests.support.postgres import Postgres


@contextmanager
def replicated_on(primary: Postgres, replica: Postgres) -> Iterator[Database]:
    """A new, migrated database; its replica is in use."""
    url = primary.create()
    engine = open_engine(url)
    schema.migrate(engine)
    made = with_replica(engine, url, replica.url(url))
    assert made.replica_healthy is not None
    assert made.replica_healthy()
    try:
        yield made
    finally:
        made.close()
        primary.drop(url)
