"""Restoring a backup: one transaction, at whose end the database holds exactly it, or what it held."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Engine, Table, delete, func, select, text
from sqlalchemy.exc import DataError, IntegrityError

from app.core.errors import StoreUnusable
from app.db import archive, schema
from app.db.archive import Rows, TableBegins
from app.db.content import Content, columns_of, content_of, data_tables, sequence_of
from app.db.models import Base
from app.db.session import SQLITE, transaction, write_ahead
from app.db.writes import Row, insert

_LOCK_SECONDS: Final = 10
"""How long PostgreSQL waits for whoever writes at the moment. SQLite waits as for any write."""

_REFUSED: Final = (IntegrityError, DataError, ValueError, OverflowError, RecursionError)
"""What comes of rows that cannot be: a file whose sums are right need not have been made by us."""


def restore(
    engine: Engine, file: Path, *, replace: bool, lock_seconds: int = _LOCK_SECONDS
) -> Content:
    """Put the backup into an empty database or, with `replace`, in the place of what is there.

    A backup of an older schema is restored to that and then migrated. Readers go on with what was
    there until it is done; writers wait. Revisions and ids are kept. Returns what the backup holds.
    Raises StoreUnusable where the file or the database must not be used, StoreUnavailable, and
    ConfigurationError; the database is then as it was.
    """
    manifest = archive.verify(file)
    version = manifest.content.schema
    schema.refuse_newer(schema.version(engine))
    write_ahead(engine)
    with transaction(engine) as connection:
        if engine.dialect.name != SQLITE:
            connection.execute(text(f"SET LOCAL lock_timeout = '{lock_seconds}s'"))
        _make_way(connection, version, replace=replace)
        try:
            _fill(connection, file)
        except _REFUSED as error:
            raise StoreUnusable(
                f"{file} holds rows that cannot be ({_short(error)}): use another backup; nothing "
                "was changed"
            ) from error
        _number(connection, manifest.numbered)
        if content_of(connection) != manifest.content:
            raise StoreUnusable(
                f"the database does not give back what {file} holds; nothing was changed"
            )
        if version != schema.HEAD:
            schema.upgrade(connection)
    return manifest.content


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


def _fill(connection: Connection, file: Path) -> None:
    tables = {table.name: table for table in data_tables(connection)}
    table, done = None, 0
    for part in archive.parts(file):
        match part:
            case TableBegins(name, columns):
                table, done = tables.get(name), 0
                if table is None or columns_of(table) != columns:
                    raise ValueError(f"the schema knows no {name!r} with these columns")
            case Rows(lines) if table is not None:
                names = [_quoted(connection, column) for column in columns_of(table)]
                insert(connection, _quoted(connection, table.name), names, _rows(table, lines))
                done += len(lines)
                structlog.get_logger().info("restore_progress", table=table.name, rows=done)


def _rows(table: Table, lines: list[bytes]) -> list[Row]:
    """The values of these lines. Raises ValueError where one is of another kind than its column.

    SQLite would store a text in a column of numbers, and every constraint would hold.
    """
    rows = [tuple(row) for row in json.loads(b"[" + b",".join(lines) + b"]")]
    kinds = [table.columns[name].type.python_type for name in columns_of(table)]
    for found in {tuple(map(type, row)) for row in rows}:
        if len(found) != len(kinds) or any(
            kind not in (expected, type(None)) for kind, expected in zip(found, kinds, strict=True)
        ):
            raise ValueError(
                f"{table.name} cannot hold {', '.join(kind.__name__ for kind in found)}"
            )
    return rows


def _number(connection: Connection, numbered: Mapping[str, int]) -> None:
    """Let new rows go on after the highest id that was ever given."""
    for table in data_tables(connection):
        column = table.autoincrement_column
        if column is None:
            continue
        highest = connection.scalar(select(func.max(column))) or 0
        highest = max(highest, numbered.get(table.name, 0))
        if connection.dialect.name == SQLITE:
            entry: dict[str, Any] = {"name": table.name, "seq": highest}
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), entry)
            connection.execute(text("INSERT INTO sqlite_sequence VALUES (:name, :seq)"), entry)
        elif (sequence := sequence_of(connection, table.name, column.name)) is not None:
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
