"""The database as a process works with it: by itself, or as the API does, with a replica if any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from app.core.prices import PriceStore
from app.db import session
from app.db.prices import SqlPriceStore
from app.db.series import SqlSeriesStore


@dataclass(frozen=True)
class Database:
    """The stores; `engine` is for whatever else is written. `ping` asks whoever answers reads.

    `ping` raises StoreError.
    """

    engine: Engine
    series: SqlSeriesStore
    prices: PriceStore
    ping: Callable[[], None]
    close: Callable[[], None]


def alone(engine: Engine) -> Database:
    """One database for everything, which may keep its users waiting as long as the driver lets it."""
    return Database(
        engine,
        SqlSeriesStore(engine),
        SqlPriceStore(engine),
        ping=lambda: session.ping(engine),
        close=engine.dispose,
    )


def served(db_url: str, read_url: str | None) -> Database:
    """PostgreSQL for the API: written at `db_url`, candles and averages read at `read_url`, if any.

    Prices are read where they are written: whoever has stored one, in whichever process, finds it in
    the next read. Nobody waits for ever. Raises ConfigurationError where a URL cannot be read; a server
    that is away is no error.
    """
    from app.db import bounded  # noqa: PLC0415 - its driver is of no use to SQLite alone

    engine = bounded.open_primary(db_url)
    reads = bounded.open_reads(db_url, read_url)

    def close() -> None:
        engine.dispose()
        reads.dispose()

    return Database(
        engine,
        SqlSeriesStore(engine, reads),
        SqlPriceStore(engine),
        ping=lambda: session.ping(reads),
        close=close,
    )
