"""Engines and the transaction: the only place that begins, commits and translates errors.

Reads run without a transaction around them, one statement each, which is one consistent snapshot on
both databases. Writes run in `transaction`, which on SQLite takes the write lock at once: a lock that
is taken halfway cannot be waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.errors import ConfigurationError, StoreUnavailable, StoreUnusable
from app.db import sqlite_file

Result = TypeVar("Result")

SQLITE: Final = "sqlite"

BUSY_SECONDS: Final = 5
"""How long a write waits for a locked SQLite file. Nothing ends that wait, not even a signal."""

CONNECT_SECONDS: Final = 2
"""How long PostgreSQL may take to accept a connection: the least that the driver knows."""

_BUSY_PAUSE: Final = 0.02

# What the two databases say when a table is not there, and when a file is no database of ours.
_NOT_MIGRATED: Final = ("no such table", "no such column", "undefinedtable", "undefinedcolumn")
_DAMAGED: Final = ("file is not a database", "malformed", "unsupported file format")
_LOCKED: Final = ("database is locked", "database table is locked")

# What helps where the database says one of these.
_REMEDIES: Final = (
    (
        ("unable to open database file", "readonly database"),
        "let DB_URL name a file, no folder, that this process may write, in a folder where it may write",
    ),
    (
        ("disk is full", "diskfull", "no space left"),
        "make room on the database's disk, then try again",
    ),
    ((*_LOCKED, "locknotavailable"), "end the program that keeps it locked, or try again later"),
)


def open_engine(db_url: str, busy_seconds: int = BUSY_SECONDS) -> Engine:
    """An engine for SQLite or PostgreSQL; nothing is connected yet.

    `busy_seconds` is how long a write waits for a locked SQLite file. The folder of a SQLite file is
    created, the file is not: `write_ahead` does that. Raises ConfigurationError where the URL is
    unreadable.
    """
    try:
        url = make_url(db_url)
        if url.get_backend_name() == SQLITE:
            return _sqlite(url, busy_seconds)
    except (ArgumentError, ValueError) as error:
        raise _unreadable("DB_URL", error) from None
    return postgres(postgres_url("DB_URL", db_url), {}, pool_pre_ping=True)


def postgres_url(setting: str, value: str) -> URL:
    """The URL of a PostgreSQL and of our driver. Raises ConfigurationError, which names `setting`."""
    try:
        return make_url(value).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError) as error:
        raise _unreadable(setting, error) from None


def postgres(url: URL, arguments: Mapping[str, Any], **pool: Any) -> Engine:
    """An engine for PostgreSQL; `arguments` are libpq's, `pool` options of the pool."""
    return create_engine(
        url,
        pool_size=10,
        max_overflow=30,
        pool_timeout=CONNECT_SECONDS,
        connect_args={"connect_timeout": CONNECT_SECONDS, **arguments},
        **pool,
    )


def _unreadable(setting: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"{setting} cannot be read ({error}): write postgresql://user:password@host:5432/name, or "
        "sqlite:///./data/mms.db for DB_URL"
    )


def file_of(url: URL) -> Path:
    """The file that a SQLite URL names. Raises ConfigurationError where it names none."""
    if not url.database or url.database == ":memory:":
        raise ConfigurationError(
            "DB_URL names no file: a SQLite database in memory is a new, empty one for each "
            "connection; write sqlite:///./data/mms.db"
        )
    # SQLite's own form of a name, file:/folder/mms.db with uri=true, is as good.
    return Path(unquote(url.database.removeprefix("file:")) if _is_uri(url) else url.database)


def _is_uri(url: URL) -> bool:
    return bool(url.database and url.database.startswith("file:") and url.query.get("uri"))


def _sqlite(url: URL, busy_seconds: int) -> Engine:
    file = file_of(url)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"DB_URL's folder {file.parent} cannot be made: {error.strerror}"
        ) from None
    engine = create_engine(
        url,
        pool_size=10,
        max_overflow=30,
        pool_timeout=CONNECT_SECONDS,
        connect_args={"timeout": busy_seconds},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver would begin transactions by itself, at the wrong moment and of the wrong kind.
        connection.isolation_level = None
        for pragma in (
            "foreign_keys=ON",
            f"busy_timeout={busy_seconds * 1000}",
            # A commit that was reported survives a power cut; loads are too rare for it to cost.
            "synchronous=FULL",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    mode = url.query.get("mode") if _is_uri(url) else None
    sqlite_file.hold(engine, file, "ro" if mode == "ro" else "rw")
    return engine


def write_ahead(engine: Engine, sleep: Callable[[float], None] = time.sleep) -> None:
    """Put a SQLite file into WAL mode, where readers and the writer do not wait for each other.

    The file keeps the mode, so this is for whoever makes or migrates it (it is made here where there is
    none): a connection that set it by itself would change the files of other programs. While anybody
    else works on the file SQLite refuses the change at once, without the wait that it knows otherwise.
    Raises StoreError, ConfigurationError where the file cannot be made.
    """
    if engine.dialect.name != SQLITE:
        return
    sqlite_file.make(file_of(engine.url))
    pauses = iter([_BUSY_PAUSE] * int(BUSY_SECONDS / _BUSY_PAUSE))
    with reading(engine) as connection:
        while connection.scalar(text("PRAGMA journal_mode")) != "wal":
            try:
                connection.execute(text("PRAGMA journal_mode=WAL"))
            except OperationalError as error:
                if not _is_locked(error) or (pause := next(pauses, None)) is None:
                    raise
                sleep(pause)


def require_file(db_url: str) -> None:
    """Raise StoreUnusable where DB_URL names a SQLite file that is not there."""
    if has_file(url := make_url(db_url)):
        return
    raise sqlite_file.gone(file_of(url))


def has_file(url: URL) -> bool:
    """Whether there is more than an empty file at a SQLite URL; True for any other database."""
    if url.get_backend_name() != SQLITE:
        return True
    file = file_of(url)
    return file.is_file() and file.stat().st_size > 0


def for_reading(engine: Engine) -> Engine:
    """The same pool, each statement its own snapshot."""
    if engine.dialect.name == SQLITE:
        return engine  # never inside a transaction unless `transaction` begins one
    return engine.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for reads, from an engine of `for_reading`. Raises StoreError."""
    with translated(), engine.connect() as connection:
        yield connection


def read(engine: Engine, ask: Callable[[Connection], Result]) -> Result:
    """What `ask` reads over one connection, of an engine of `for_reading`; once more where that died.

    The server may have been restarted since the connection was last used. Raises StoreError.
    """
    try:
        with reading(engine) as connection:
            return ask(connection)
    except StoreUnavailable as error:
        cause = error.__cause__
        if not (isinstance(cause, DBAPIError) and cause.connection_invalidated):
            raise
    with reading(engine) as connection:
        return ask(connection)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One write transaction: committed at the end, undone on any error. Raises StoreError."""
    with translated(), engine.connect() as connection, connection.begin():
        if engine.dialect.name == SQLITE:
            connection.execute(text("BEGIN IMMEDIATE"))
        yield connection


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection whose reads all see one moment, however long they take. Raises StoreError.

    Writers go on meanwhile.
    """
    with translated(), engine.connect() as connection:
        if engine.dialect.name == SQLITE:
            connection.execute(text("BEGIN"))
        else:
            connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn the database's errors into ours, named by what to do."""
    try:
        yield
    except IntegrityError:
        raise  # a constraint that the code before it should have kept: a bug, not the database's state
    except PoolTimeout as error:
        raise StoreUnavailable(
            "every database connection is in use; try again in a moment"
        ) from error
    except DBAPIError as error:
        raise _store_error(error) from error


def _store_error(error: DBAPIError) -> StoreUnavailable | StoreUnusable:
    reason, kind = _said(error)
    if any(mark in kind for mark in _NOT_MIGRATED):
        return StoreUnusable(f"the database lacks this version's tables ({reason}): make migrate")
    if any(mark in kind for mark in _DAMAGED):
        return StoreUnusable(
            f"DB_URL's file is damaged or no database ({reason}): restore a backup, or move it away "
            "and load anew"
        )
    for marks, remedy in _REMEDIES:
        if any(mark in kind for mark in marks):
            return StoreUnavailable(f"the database cannot be used ({reason}): {remedy}")
    return StoreUnavailable(f"the database does not answer: {reason}")


def _said(error: DBAPIError) -> tuple[str, str]:
    """The driver's own words, and these with their kind in lower case, to be searched for marks."""
    reason = " ".join(str(error.orig).split())
    return reason, f"{type(error.orig).__name__} {reason}".lower()


def _is_locked(error: DBAPIError) -> bool:
    return any(mark in _said(error)[1] for mark in _LOCKED)


def ping(engine: Engine) -> None:
    """Ask the smallest question that proves the tables are there. Raises StoreError."""
    read(engine, lambda connection: connection.scalar(text("SELECT 1 FROM series LIMIT 1")))
