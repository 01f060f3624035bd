"""A primary and its replica for all tests of this folder, with a database for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.conftest import absent
from tests.support import postgres
from tests.support.history import History
from tests.support.replica_api import Pair, caught_up


@pytest.fixture(scope="package")
def pair() -> Iterator[Pair]:
    """Two servers of this folder's own; a test leaves them running as it found them."""
    folder = postgres.tools()
    if folder is None:
        absent("postgres", "PostgreSQL's server programs (initdb, pg_ctl) are not installed")
    with (
        postgres.running(folder, "fsync=off") as primary,
        postgres.replica_of(primary) as replica,
    ):
        yield Pair(primary, replica)


@pytest.fixture
def history(pair: Pair) -> Iterator[History]:
    """A database with 260 days, which the replica has as well."""
    with closing(History(pair.primary.create(), days=260)) as made:
        caught_up(pair.primary, pair.replica)
        yield made
