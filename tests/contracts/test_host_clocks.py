"""One contract for every memory of the hosts' clocks: when a stamp was first seen, never later."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app.core.ports import HostClocks
from app.db import schema
from app.db.database import open_engine
from app.db.stores.host_clocks import SqlHostClocks
from app.testing.series import MemoryHostClocks
from tests.support.postgres import Postgres

STAMP = 1_711_670_400
NOW = STAMP + 9_000
Opened = Callable[[], HostClocks]

ALONE = {"opened": ["memory", "sqlite"]}
SERVICES = {"opened": ["postgres"]}


@pytest.fixture
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    """Makes what another process opens: all share what is kept."""
    if request.param == "memory":
        only = MemoryHostClocks()
        yield lambda: only
        return
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('clocks') / 'mms.db'}"
    else:
        server: Postgres = request.getfixturevalue("postgres_server")
        url = server.create()
    engines = [open_engine(url) for _ in range(2)]
    schema.migrate(engines[0])
    turn = iter(engines * 20)
    yield lambda: SqlHostClocks(next(turn))
    for engine in engines:
        engine.dispose()
    if request.param == "postgres":
        server.drop(url)


def test_a_stamp_counts_from_when_it_was_first_seen_by_whichever_process(opened: Opened) -> None:
    assert opened().seen("one", STAMP, NOW + 0.9) == NOW
    assert opened().seen("one", STAMP, NOW + 60) == NOW
    assert opened().seen("other", STAMP, NOW + 60) == NOW + 60
    assert opened().seen("one", STAMP, NOW + 61) == NOW


def test_another_stamp_begins_anew(opened: Opened) -> None:
    assert opened().seen("one", STAMP, NOW) == NOW
    assert opened().seen("one", STAMP + 1, NOW + 60) == NOW + 60
    assert opened().seen("one", STAMP, NOW + 61) == NOW + 61


def test_what_was_seen_by_a_clock_that_was_ahead_begins_anew(opened: Opened) -> None:
    assert opened().seen("one", STAMP, NOW + 9_000) == NOW + 9_000
    assert opened().seen("one", STAMP, NOW) == NOW
    assert opened().seen("one", STAMP, NOW + 60) == NOW
