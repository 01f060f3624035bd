"""The database as a process works with it: one server, or a primary with a replica beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from app.core.prices import PriceStore
from app.db import session
from app.db.prices import SqlPriceStore
from app.db.replica import ReadServers, Route
from app.db.routed import RoutedPriceStore, RoutedSeriesStore
from app.db.series import SqlSeriesStore


@dataclass(frozen=True)
class Database:
    """The stores, and how the servers behind them are.

    `ping` asks whoever answers reads and raises StoreError. The other two tell what is known without
    asking: whether the primary answers, and whether the replica is in use (None where there is none).
    """

    series: SqlSeriesStore | RoutedSeriesStore
    prices: PriceStore
    ping: Callable[[], None]
    primary_healthy: Callable[[], bool]
    replica_healthy: Callable[[], bool] | None
    close: Callable[[], None]


def alone(engine: Engine) -> Database:
    """One server for everything. `close` gives the engine's connections back."""
    return Database(
        SqlSeriesStore(engine),
        SqlPriceStore(engine),
        ping=lambda: session.ping(engine),
        primary_healthy=lambda: True,
        replica_healthy=None,
        close=engine.dispose,
    )


def with_replica(engine: Engine, db_url: str, read_url: str) -> Database:
    """`engine`, of `db_url`, for what is written, and its replica at `read_url` for reads.

    Raises ConfigurationError where a URL cannot be read; a replica that is away is no error.
    """
    servers = ReadServers(db_url, read_url)
    anyone = Route(
        (servers.replica, servers.replica.engine), (servers.primary, servers.primary.engine)
    )
    servers.start()

    def close() -> None:
        servers.close()
        engine.dispose()

    return Database(
        RoutedSeriesStore(SqlSeriesStore(engine), servers),
        RoutedPriceStore(SqlPriceStore(engine), servers),
        ping=lambda: anyone.ask(session.ping),
        primary_healthy=lambda: servers.primary.usable,
        replica_healthy=lambda: servers.replica.usable,
        close=close,
    )
