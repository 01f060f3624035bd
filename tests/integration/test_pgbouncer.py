"""PgBouncer between us and PostgreSQL: each transaction gets another session of the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.core.market import Pair
from app.db.database import open_engine
from app.db.session import transaction
from app.db.stores.leases import SqlLeases
from app.db.stores.rate_limiter import SharedRateLimiter
from app.sandbox.exchange import Exchange
from app.sandbox.simulation import Simulation
from tests.support import pgbouncer
from tests.support.commands import BTC, Service, run, service
from tests.support.postgres import Postgres
from tests.support.processes import api_server, ended, process

POOLS: dict[str, dict[str, Any]] = {
    "as installed": {},
    "one connection, with passwords": {"default_pool_size": 1, "auth_type": "scram-sha-256"},
}


@dataclass(frozen=True)
class Pooled:
    """A service whose database is behind PgBouncer, and the way around it."""

    service: Service
    server: Postgres
    front: pgbouncer.PgBouncer
    login: str

    def create(self) -> str:
        """The URL of an empty database, through PgBouncer."""
        return self.front.url(self.server.create()).replace("mms@", f"{self.login}@")

    def together(self, url: str, module: str, *arguments: str, times: int) -> list[str]:
        """Run a command in several processes at once; returns what those said that failed."""
        settings = self.service.settings | {"DB_URL": url}
        command = ["-m", f"app.{module}", *arguments]
        with ExitStack() as stack:
            children = [
                stack.enter_context(process(self.service.folder, *command, **settings))
                for _ in range(times)
            ]
            ends = [ended(child) for child in children]
        return [said for code, said in ends if code]


@pytest.fixture(params=POOLS)
def pooled(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    postgres_server: Postgres,
    pgbouncer_program: Path,
) -> Iterator[Pooled]:
    """A service of two pairs behind PgBouncer."""
    options = POOLS[request.param]
    login = "mms:secret" if "auth_type" in options else "mms"
    exchange = Exchange(Simulation(7, {BTC: None, Pair("ETH", "BRL"): None}), clock=time.time)
    with (
        pgbouncer.running(pgbouncer_program, postgres_server, '"mms" "secret"', **options) as front,
        service(tmp_path, exchange, ALLOWED_PAIRS="BRLBTC,BRLETH", CACHE_URL="none://") as shop,
    ):
        yield Pooled(shop, postgres_server, front, login)


def test_nothing_fails_with_pgbouncer_between_and_no_state_is_left_in_its_sessions(
    pooled: Pooled,
) -> None:
    url, other = pooled.create(), pooled.create()
    assert pooled.together(url, "commands.migrate", times=2) == []
    assert pooled.together(url, "workers.initial_loader", times=2) == []
    assert pooled.together(url, "workers.incremental_loader", "--reread", "30", times=2) == []
    assert _failed_reads(pooled, url, times=400) == []

    folder = pooled.service.folder
    backup = run(folder, "commands.backup", "backup", "--json", "b.gz", DB_URL=url)
    restored = run(folder, "commands.backup", "restore", "--json", "b.gz", DB_URL=other)
    assert (backup.code, restored.code) == (0, 0)
    assert backup.summary["sha256"] == restored.summary["sha256"]

    _lease_and_limit(url)
    assert _left_behind(url) == []


def _failed_reads(pooled: Pooled, url: str, times: int) -> list[Any]:
    """Reads from many threads at once; returns those that were not answered as the first one."""
    targets = ["/BRLBTC/mms?range=20", "/BRLETH/candles", "/BRLETH/mms?range=200", "/history/BTC"]
    with api_server(pooled.service.settings | {"DB_URL": url}, pooled.service.folder) as server:
        right = {target: server.ask("GET", target)[::2] for target in targets}
        assert {status for status, _ in right.values()} == {200}

        def ask(number: int) -> Any:
            target = targets[number % len(targets)]
            reply = server.ask("GET", target)[::2]
            return None if reply == right[target] else (target, reply)

        with ThreadPoolExecutor(24) as threads:
            return [reply for reply in threads.map(ask, range(times)) if reply is not None]


def _lease_and_limit(url: str) -> None:
    """Leases and turns that eight threads compete for: each turn is taken, no two leases are."""
    engine = open_engine(url)
    limiter = SharedRateLimiter(engine, "host", 1_000)

    def work(number: int) -> None:
        lease = SqlLeases(engine, f"holder {number}")
        for step in range(10):
            limiter.enter(60)
            assert lease.take(f"lease {number}", step) is None
        lease.release(f"lease {number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    engine.dispose()


def _left_behind(url: str) -> list[Any]:
    """What earlier transactions left in the sessions of PgBouncer's pool."""
    engine = open_engine(url)
    rows: list[Any] = []
    for _ in range(5):
        with transaction(engine) as connection:
            rows += connection.execute(text(_STATE)).all()
    engine.dispose()
    return rows


_STATE = """
    SELECT 'prepared statement', name FROM pg_prepared_statements
    UNION ALL SELECT 'cursor', name FROM pg_cursors
    UNION ALL SELECT 'temporary table', relname FROM pg_class
        WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()
    UNION ALL SELECT 'advisory lock', objid::text FROM pg_locks WHERE locktype = 'advisory'
    UNION ALL SELECT 'channel', pg_listening_channels()
    UNION ALL SELECT 'setting', name FROM pg_settings
        WHERE source = 'session' AND name NOT IN ('client_encoding', 'transaction_isolation',
            'transaction_read_only', 'transaction_deferrable')"""
