"""The database of a process: opened, checked, and with its stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from app.core.logging import structlog
from app.core.prices import PriceStore
from app.core.setting_urls import is_sqlite
from app.db import schema, session, sqlite
from app.db.stores.prices import SqlPriceStore
from app.db.stores.series import SqlSeriesStore

log = structlog.get_logger()


@dataclass(frozen=True)
class Database:
    """An open database at this program's schema. Candles and averages are read through `reads`.

    Prices are read through `engine`, where they are written: the next read of any process includes
    a stored price.
    """

    engine: Engine
    reads: Engine
    series: SqlSeriesStore
    prices: PriceStore

    def ping(self) -> None:
        """Check that the server for reads answers. Raises StoreError."""
        session.ping(self.reads)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        self.reads.dispose()


def announce(db_url: str, read_url: str | None = None) -> None:
    """Log which database a process is about to use: the first line of every start.

    A file has its whole path, a server its host, port and the database's name, never a user or a
    password. Raises ConfigurationError where a URL cannot be used.
    """
    reads = {} if read_url is None else {"reads": described(read_url, "DB_READ_URL")}
    log.info("database_in_use", database=described(db_url), **reads)


def described(url: str, setting: str = "DB_URL") -> str:
    """The place of a database, as `announce` logs it. Raises ConfigurationError."""
    if is_sqlite(url):
        return str(sqlite.file_of(make_url(url)).absolute())
    from app.db import postgres  # noqa: PLC0415 - its driver is not needed for SQLite

    return postgres.described(postgres.server_url(url, setting))


def open_for_command(
    db_url: str,
    *,
    create: bool = True,
    migrate: bool = False,
    busy_seconds: int = sqlite.BUSY_SECONDS,
) -> Database:
    """Open the database for a command, which may wait for it as long as the driver allows.

    A SQLite file is checked for damage first. With `create` it may be missing, and a large one is
    not checked: a loader must start quickly. With `migrate` the schema is brought to this program's
    version. `busy_seconds` is how long a write waits for a locked SQLite file. Raises StoreError
    where the database cannot be used, ConfigurationError where its URL cannot.
    """
    if not create:
        require_file(db_url)
    engine = open_engine(db_url, busy_seconds)
    with _disposed_on_error(engine):
        sqlite.require_sound(engine, sqlite.QUICK if create else None)
        _require_schema(engine, migrate=migrate)
    return _database(engine, engine)


def open_for_api(db_url: str, read_url: str | None, *, migrate: bool = False) -> Database:
    """Open the database for the API, where no request waits for ever.

    On PostgreSQL candles and averages are read at `read_url`, if there is one. A SQLite file is not
    checked for damage: reads change nothing. Raises as `open_for_command` does.
    """
    if is_sqlite(db_url):
        engine = reads = open_engine(db_url)
    else:
        from app.db import postgres  # noqa: PLC0415 - its driver is not needed for SQLite

        engine = postgres.open_primary(db_url)
        reads = postgres.open_reads(db_url, read_url)
    with _disposed_on_error(engine, reads):
        _require_schema(engine, migrate=migrate)
    return _database(engine, reads)


def open_engine(db_url: str, busy_seconds: int = sqlite.BUSY_SECONDS) -> Engine:
    """Create an engine for SQLite or PostgreSQL; nothing is connected yet.

    The settings have checked the URL's form. Raises ConfigurationError where it cannot be used.
    """
    if is_sqlite(db_url):
        return sqlite.open_file(make_url(db_url), busy_seconds)
    from app.db import postgres  # noqa: PLC0415 - its driver is not needed for SQLite

    return postgres.open_server(postgres.server_url(db_url), pool_pre_ping=True)


def require_file(db_url: str) -> None:
    """Raise StoreUnusable where DB_URL names a SQLite file that does not exist."""
    if is_sqlite(db_url):
        sqlite.require_file(make_url(db_url))


def _database(engine: Engine, reads: Engine) -> Database:
    return Database(engine, reads, SqlSeriesStore(engine, reads), SqlPriceStore(engine))


def _require_schema(engine: Engine, *, migrate: bool) -> None:
    if migrate:
        schema.migrate(engine)
    else:
        schema.require(engine)


@contextmanager
def _disposed_on_error(*engines: Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for engine in engines:
            engine.dispose()
        raise
