"""The database as a process works with it: as it is, or PostgreSQL watched, with its replica if any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from app.core.prices import PriceStore
from app.db import session
from app.db.prices import SqlPriceStore
from app.db.replica import ReadServers
from app.db.routed import RoutedPriceStore, RoutedSeriesStore
from app.db.series import SqlSeriesStore


@dataclass(frozen=True)
class Database:
    """The stores, and how the servers behind them are; `engine` is for whatever else is written.

    `ping` asks whoever answers reads and raises StoreError. The other two tell what is known without
    asking: whether the primary answers, and whether the replica is in use (None where there is none).
    """

    engine: Engine
    series: SqlSeriesStore | RoutedSeriesStore
    prices: PriceStore
    ping: Callable[[], None]
    primary_healthy: Callable[[], bool]
    replica_healthy: Callable[[], bool] | None
    close: Callable[[], None]


def alone(engine: Engine) -> Database:
    """One database for everything, which may keep its users waiting as long as the driver lets it."""
    return Database(
        engine,
        SqlSeriesStore(engine),
        SqlPriceStore(engine),
        ping=lambda: session.ping(engine),
        primary_healthy=lambda: True,
        replica_healthy=None,
        close=engine.dispose,
    )


def watched(db_url: str, read_url: str | None) -> Database:
    """PostgreSQL at `db_url`, and its replica at `read_url`, if any, for reads; nobody waits for ever.

    Raises ConfigurationError where a URL cannot be read; a server that is away is no error.
    """
    servers = ReadServers(db_url, read_url)
    anyone = servers.route(lambda engine: engine)
    replica = servers.replica
    servers.start()
    return Database(
        servers.primary.engine,
        RoutedSeriesStore(servers),
        RoutedPriceStore(servers),
        ping=lambda: anyone.ask(session.ping),
        primary_healthy=lambda: servers.primary.usable,
        replica_healthy=None if replica is None else lambda: replica.usable,
        close=servers.close,
    )
