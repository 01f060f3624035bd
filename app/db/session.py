"""The transaction: the only place that begins, commits and translates errors.

Reads run without a transaction around them. Each is one statement, which is one consistent snapshot
on both databases. Writes run in `transaction`, which on SQLite takes the write lock at the start: a
read transaction that turns into a write cannot wait for the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.errors import StoreUnavailable, StoreUnusable
from app.core.how_to_run import how_to_run

Result = TypeVar("Result")

SQLITE: Final = "sqlite"

CONNECT_SECONDS: Final = 2
"""Seconds that PostgreSQL may take to accept a connection: the shortest that the driver allows."""

POOL: Final[Mapping[str, Any]] = {
    "pool_size": 10,
    "max_overflow": 30,
    "pool_timeout": CONNECT_SECONDS,
}
"""The options of every pool: 40 connections, one for each thread that runs requests."""

# Marks in error messages of the two databases, by kind of failure.
_NOT_MIGRATED: Final = ("no such table", "no such column", "undefinedtable", "undefinedcolumn")
_DAMAGED: Final = ("file is not a database", "malformed", "unsupported file format")
_LOCKED: Final = ("database is locked", "database table is locked")

# The advice for errors that contain one of these marks.
_REMEDIES: Final = (
    (
        ("unable to open database file", "readonly database"),
        "DB_URL must name a file, not a folder, without mode=ro, and this process must be allowed "
        "to write the file and its folder",
    ),
    (
        ("disk is full", "diskfull", "no space left"),
        "make room on the database's disk, then try again",
    ),
    (
        ("unsupported startup parameter", "command-line options"),
        "a pooler stands between and refuses it: take it out of DB_URL (options) and out of the "
        "environment (PGOPTIONS, PGGEQO), or list it in PgBouncer's ignore_startup_parameters",
    ),
    (
        ("query_wait_timeout",),
        "every connection of PgBouncer was in use: raise its default_pool_size",
    ),
    (
        ("readonlysqltransaction",),
        "DB_URL must lead to the primary, and neither its role nor its database may be set to "
        "default_transaction_read_only",
    ),
    (
        ("statement pooling mode",),
        "PgBouncer's statement mode has no transactions: set its pool_mode to transaction or session",
    ),
    (
        ("querycanceled",),
        "an administrator ended it, or a limit of this role or database did that is too short: "
        "raise it (ALTER ROLE … SET statement_timeout)",
    ),
    (
        ("idleintransactionsessiontimeout", "transactiontimeout"),
        "a limit of this role or database is too short: raise it (ALTER ROLE … SET "
        "idle_in_transaction_session_timeout, or transaction_timeout)",
    ),
    (
        ("insufficientprivilege",),
        "DB_URL's role lacks a right: GRANT it, or make the role the owner of the database",
    ),
    (
        ("untranslatablecharacter",),
        "its encoding lacks a character: use a database with the encoding UTF8",
    ),
    ((*_LOCKED, "locknotavailable"), "stop the program that keeps it locked, or try again later"),
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
    """The result of `ask` over one connection. `engine` comes from `for_reading`.

    Calls `ask` again over a new connection where the first one is dead: the server may have been
    restarted since that was last used. Raises StoreError.
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
    """A connection whose reads all see the data of one moment, however long they take.

    Writers do not wait for it. Raises StoreError.
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
    """Translate the driver's errors into ours, which are named by what to do."""
    try:
        yield
    except IntegrityError:
        raise  # our code broke a constraint: a bug, not the state of the database
    except PoolTimeout as error:
        raise StoreUnavailable(
            "every database connection is in use; try again in a moment"
        ) from error
    except DBAPIError as error:
        raise _store_error(error) from error


def _store_error(error: DBAPIError) -> StoreUnavailable | StoreUnusable:
    reason, searchable = _reason(error)
    if any(mark in searchable for mark in _NOT_MIGRATED):
        migrate = how_to_run("migrate")
        return StoreUnusable(f"the database lacks this version's tables ({reason}): {migrate}")
    if any(mark in searchable for mark in _DAMAGED):
        return StoreUnusable(
            f"DB_URL's file is damaged or not a database ({reason}): restore a backup, or move it away "
            "and load anew"
        )
    for marks, remedy in _REMEDIES:
        if any(mark in searchable for mark in marks):
            return StoreUnavailable(f"the database cannot be used ({reason}): {remedy}")
    return StoreUnavailable(f"the database does not answer: {reason}")


def _reason(error: DBAPIError) -> tuple[str, str]:
    """The driver's message, and its class and message in lower case, to be searched for marks."""
    reason = " ".join(str(error.orig).split())
    return reason, f"{type(error.orig).__name__} {reason}".lower()


def is_locked(error: DBAPIError) -> bool:
    """Whether another connection holds the lock that the statement needs."""
    return any(mark in _reason(error)[1] for mark in _LOCKED)


def ping(engine: Engine) -> None:
    """Run the smallest query that proves that the tables exist. Raises StoreError."""
    read(engine, lambda connection: connection.scalar(text("SELECT 1 FROM series LIMIT 1")))
