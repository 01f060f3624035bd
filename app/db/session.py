"""The transaction: the only place that begins, commits and translates errors.

Reads run without a transaction around them, one statement each, which is one consistent snapshot on
both databases. Writes run in `transaction`, which on SQLite takes the write lock at once: a lock that
is taken halfway cannot be waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.errors import StoreUnavailable, StoreUnusable

Result = TypeVar("Result")

SQLITE: Final = "sqlite"

CONNECT_SECONDS: Final = 2
"""How long PostgreSQL may take to accept a connection: the least that the driver knows."""

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


def is_locked(error: DBAPIError) -> bool:
    return any(mark in _said(error)[1] for mark in _LOCKED)


def ping(engine: Engine) -> None:
    """Ask the smallest question that proves the tables are there. Raises StoreError."""
    read(engine, lambda connection: connection.scalar(text("SELECT 1 FROM series LIMIT 1")))
