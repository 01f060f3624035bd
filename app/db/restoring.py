"""Restoring a backup: one transaction, at whose end the database holds exactly it, or what it held."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection, Engine, Table, delete, func, select, text
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, ProgrammingError

from app.core.errors import StoreUnusable
from app.db import archive, schema
from app.db.content import Block, Content, columns_of, data_tables
from app.db.models import Base
from app.db.session import SQLITE, transaction, write_ahead
from app.db.writes import insert

_LOCK_SECONDS: Final = 10
"""How long PostgreSQL waits for whoever writes at the moment. SQLite waits as for any write."""

_REFUSED: Final = (
    IntegrityError,
    DataError,
    ProgrammingError,
    InterfaceError,
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
)
"""What comes of rows that cannot be: damage that shows before the end is reached."""


def restore(
    engine: Engine, file: Path, *, replace: bool, lock_seconds: int = _LOCK_SECONDS
) -> Content:
    """Put the backup into an empty database or, with `replace`, in the place of what is there.

    A backup of an older schema is restored to that and then migrated. Readers go on with what was
    there until it is done; writers wait. Revisions and ids are kept. Returns what the backup holds.
    Raises StoreUnusable where the file or the database must not be used, StoreUnavailable, and
    ConfigurationError; the database is then as it was.
    """
    with archive.reading(file) as (version, parts):
        schema.refuse_newer(schema.version(engine))
        write_ahead(engine)
        with transaction(engine) as connection:
            if engine.dialect.name != SQLITE:
                connection.execute(text(f"SET LOCAL lock_timeout = '{lock_seconds}s'"))
            _make_way(connection, version, replace=replace)
            try:
                content = _fill(connection, parts)
            except _REFUSED as error:
                raise StoreUnusable(
                    f"{file} holds rows that cannot be ({_short(error)}): use another backup; nothing "
                    "was changed"
                ) from error
            _number(connection)
            if version != schema.HEAD:
                schema.upgrade(connection)
    return content


def _make_way(connection: Connection, version: str, *, replace: bool) -> None:
    """Leave the tables of schema `version` empty and ours alone."""
    postgres = connection.dialect.name != SQLITE
    schema.lock(connection)
    found = schema.version_of(connection)
    schema.refuse_newer(found)
    tables = data_tables(connection) if found is not None else []
    if tables and postgres:
        names = ", ".join(_quoted(connection, table.name) for table in tables)
        connection.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
    held = [table.name for table in tables if _holds_rows(connection, table)]
    if held and not replace:
        raise StoreUnusable(
            f"the database is not empty (it holds {', '.join(held)}); nothing was changed: point "
            "DB_URL at an empty one, or add --replace to lose what is there"
        )
    if found == version:
        # Not TRUNCATE: those who read now would wait for it, or find nothing.
        for table in reversed(tables):
            connection.execute(delete(table))
        return
    Base.metadata.drop_all(connection)
    connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    schema.upgrade(connection, version)


def _fill(connection: Connection, parts: Iterator[Block | Content]) -> Content:
    """Insert the rows; returns what they come to, once they are known to be all and unchanged."""
    tables = {table.name: table for table in data_tables(connection)}
    done = 0
    for part in parts:
        if isinstance(part, Content):
            return part
        table = tables.get(part.table)
        if table is None or columns_of(table) != part.columns:
            raise ValueError(f"the schema knows no {part.table!r} with these columns")
        names = [_quoted(connection, column) for column in part.columns]
        rows = [tuple(row) for row in json.loads(b"[" + b",".join(part.lines) + b"]")]
        insert(connection, _quoted(connection, table.name), names, rows)
        done = done + len(rows) if rows else 0
        if rows:
            structlog.get_logger().info("restore_progress", table=table.name, rows=done)
    raise AssertionError("a backup ends with its Content, or with an error")


def _number(connection: Connection) -> None:
    """Let new rows go on after the highest id. SQLite does that by itself."""
    if connection.dialect.name == SQLITE:
        return
    for table in data_tables(connection):
        column = table.autoincrement_column
        if column is None:
            continue
        asked = text("SELECT pg_get_serial_sequence(:table, :column)")
        sequence = connection.scalar(asked, {"table": table.name, "column": column.name})
        if sequence is not None:
            highest = connection.scalar(select(func.max(column))) or 0
            # Unlike setval, this is undone with the transaction.
            connection.execute(text(f"ALTER SEQUENCE {sequence} RESTART WITH {highest + 1}"))


def _holds_rows(connection: Connection, table: Table) -> bool:
    return connection.execute(select(text("1")).select_from(table).limit(1)).first() is not None


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _short(error: Exception) -> str:
    """The first line of what a database or a parser says, without the statement and its values."""
    said = str(getattr(error, "orig", None) or error)
    return said.strip().partition("\n")[0][:200]
