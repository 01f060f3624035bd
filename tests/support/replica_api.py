"""The API over a PostgreSQL primary and its streaming replica, and what a test does to the two."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app import bootstrap
from app.bootstrap import Runtime
from app.core.market import DAY
from app.core.prices import Coin, SpotPrice
from app.core.settings import Settings
from app.main import create_app
from tests.support.api import UNLIMITED, Answer, Client, settings, started
from tests.support.history import History
from tests.support.patience import until
from tests.support.postgres import Postgres


@dataclass(frozen=True)
class Pair:
    """A primary and its replica."""

    primary: Postgres
    replica: Postgres


def caught_up(primary: Postgres, replica: Postgres) -> None:
    """Wait until the replica has everything."""
    wanted = primary.sql("SELECT pg_current_wal_lsn()")
    until(lambda: replica.sql(f"SELECT pg_last_wal_replay_lsn() >= '{wanted}'") == "t")


@contextmanager
def lagging(replica: Postgres) -> Iterator[None]:
    """Nothing new arrives at the replica."""
    replica.sql("SELECT pg_wal_replay_pause()")
    until(lambda: replica.sql("SELECT pg_get_wal_replay_pause_state()") == "paused")
    try:
        yield
    finally:
        replica.sql("SELECT pg_wal_replay_resume()")


@dataclass(frozen=True)
class Api:
    """The application in this process, with its real database and cache."""

    client: Client
    runtime: Runtime

    def averages(self, history: History, window: int = 20) -> tuple[int, Answer]:
        """The commit that the reply shows, body and headers alike, and the reply."""
        first, last = period(history)
        got = self.client.get(f"/BRLBTC/mms?range={window}&from={first}&to={last}")
        assert got.status == 200, got.body
        version = shown(history, got)
        assert got.body == history.body(version, window, first, last)
        return version, got


def period(history: History) -> tuple[int, int]:
    """A period that all of the history's commits change."""
    begin = max(history.versions[0])
    return begin - 300 * DAY, begin + 60 * DAY


def shown(history: History, got: Answer) -> int:
    """The number of the commit that X-Data-As-Of stands for."""
    as_of = datetime.fromisoformat(got.header("X-Data-As-Of") or "")
    return history.version(int(as_of.timestamp()))


@contextmanager
def api(history: History, replica: str | None, **overrides: Any) -> Iterator[Api]:
    """An API over the database of `history`, with its replica at this URL."""
    built: list[Runtime] = []

    def build(chosen: Settings) -> Runtime:
        built.append(bootstrap.for_api(chosen))
        return built[0]

    mine = {"cache_url": "none://", "allowed_pairs": "BRLBTC", "access_log": "off"}
    mine |= UNLIMITED | overrides
    chosen = settings(db_url=history.url, db_read_url=replica, **mine)
    with started(create_app(chosen, build)) as client:
        yield Api(client, built[0])


def collected(made: Api, price: int) -> int:
    """Store a price as POST /collect-once does; returns its id."""
    now = int(time.time())
    spot = SpotPrice(Coin("BTC", "bitcoin"), price, "usd", now)
    return made.runtime.prices.add([spot], now)[0].id
