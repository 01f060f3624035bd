"""Backup and restore of all data of a database; SQLite and PostgreSQL give the same backup.

A row is a JSON array of its values in the order of the columns' names. Rows come in the order of
their key, strings by code point.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    delete,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, ProgrammingError

from app.core.errors import StoreUnusable
from app.core.how_to_run import how_to_run, option
from app.core.logging import structlog
from app.core.ports import Clock
from app.db import schema
from app.db.backup import archive
from app.db.backup.archive import Content, Row
from app.db.models import METADATA, VIEWS
from app.db.session import SQLITE, snapshot, transaction
from app.db.sqlite import write_ahead
from app.db.stores.statements import insert

OPERATIONAL: Final = frozenset({"leases", "gates", "host_clocks"})
"""Tables of what processes do at the moment. They hold no data and are stale at once."""

BLOCK: Final = 5_000
"""Rows held in memory at a time."""

_LOCK_SECONDS: Final = 10
"""Seconds that PostgreSQL waits for other writers. SQLite waits as for any write."""

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
"""The errors of impossible rows: damage that shows before the end of the file is reached."""


def back_up(engine: Engine, file: Path, clock: Clock) -> Content:
    """Write everything that the database holds at this moment into `file`.

    The complete backup replaces an earlier one. Raises StoreError, also where `file` is not a
    backup, ConfigurationError where it has no folder, OSError where it cannot be written.
    """
    with snapshot(engine) as connection:
        version = schema.version_of(connection)
        if version is None:
            raise StoreUnusable(f"the database has no tables yet: {how_to_run('load')}")
        schema.refuse_newer(version)
        with archive.writing(file, version, clock()) as writer:
            for table in data_tables(connection):
                # Close the rows while the connection is open, also if the disk fills up halfway.
                with closing(read(connection, table)) as lines:
                    writer.table(table.name, columns_of(table), _logged(table.name, lines))
            return writer.end()


def _logged(table: str, lines: Iterator[bytes]) -> Iterator[bytes]:
    """The same lines; logs the progress after every BLOCK of them."""
    for number, line in enumerate(lines, 1):
        yield line
        if number % BLOCK == 0:
            structlog.get_logger().info("backup_progress", table=table, rows=number)


def restore(
    engine: Engine, file: Path, *, replace: bool, lock_seconds: int = _LOCK_SECONDS
) -> Content:
    """Restore the backup into an empty database or, with `replace`, in place of the data there.

    A backup of an older schema is restored to that schema and then migrated. Until the end readers
    see the old data, and writers wait. Revisions and ids are kept. Returns the backup's summary.
    Raises StoreUnusable where the file or the database must not be used, StoreUnavailable, and
    ConfigurationError; the database is then unchanged.
    """
    with archive.reading(file) as backup:
        schema.refuse_newer(schema.version(engine))
        write_ahead(engine)
        with transaction(engine) as connection:
            if engine.dialect.name != SQLITE:
                connection.execute(text(f"SET LOCAL lock_timeout = '{lock_seconds}s'"))
            _make_way(connection, backup.schema, replace=replace)
            try:
                _fill(connection, backup.rows())
            except _REFUSED as error:
                raise StoreUnusable(
                    f"{file} holds impossible rows ({_short(error)}): use another backup; nothing was "
                    "changed"
                ) from error
            _number(connection)
            if backup.schema != schema.HEAD:
                schema.upgrade(connection)
        return backup.content()


def _make_way(connection: Connection, version: str, *, replace: bool) -> None:
    """Leave the tables of schema `version`, empty and closed to other writers."""
    postgres = connection.dialect.name != SQLITE
    schema.lock(connection)
    current = schema.version_of(connection)
    schema.refuse_newer(current)
    tables = data_tables(connection) if current is not None else []
    if tables and postgres:
        names = ", ".join(_quoted(connection, table.name) for table in tables)
        connection.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
    held = [table.name for table in tables if _holds_rows(connection, table)]
    if held and not replace:
        raise StoreUnusable(
            f"the database is not empty (it holds {', '.join(held)}); nothing was changed: point "
            f"DB_URL at an empty one, or add {option('--replace')} to lose what is there"
        )
    if current == version:
        # Not TRUNCATE: current readers would wait for it, or see no rows.
        for table in reversed(tables):
            connection.execute(delete(table))
        return
    for view in VIEWS:
        connection.execute(text(f"DROP VIEW IF EXISTS {view}"))
    METADATA.drop_all(connection)
    connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    schema.upgrade(connection, version)


def _fill(connection: Connection, rows: Iterator[Row]) -> None:
    tables = {table.name: table for table in data_tables(connection)}
    for (name, columns), run in groupby(rows, itemgetter(0, 1)):
        table = tables.get(name)
        if table is None or columns_of(table) != columns:
            raise ValueError(f"the schema has no table {name!r} with these columns")
        names = [_quoted(connection, column) for column in columns]
        done = 0
        while block := [tuple(json.loads(line)) for _, _, line in islice(run, BLOCK)]:
            insert(connection, _quoted(connection, name), names, block)
            done += len(block)
            structlog.get_logger().info("restore_progress", table=name, rows=done)


def data_tables(connection: Connection) -> list[Table]:
    """The tables that hold data, each after those that it refers to.

    Their columns are read from the database, not from the models, so that an older schema works as
    well. A table that a later version drops must stay listed here by its name.
    """
    names = (set(METADATA.tables) - OPERATIONAL) & set(inspect(connection).get_table_names())
    metadata = MetaData()
    metadata.reflect(connection, only=sorted(names))
    return [table for table in metadata.sorted_tables if table.name in names]


def columns_of(table: Table) -> list[str]:
    """The names of a table's columns, sorted: the order in a backup depends on no database."""
    return sorted(table.columns.keys())


def read(connection: Connection, table: Table) -> Generator[bytes, None, None]:
    """All rows of a table as lines; the whole table is never in memory."""
    query = select(*(table.columns[name] for name in columns_of(table)))
    query = query.order_by(*(_ordered(connection, column) for column in table.primary_key.columns))
    with connection.execute(query, execution_options={"yield_per": BLOCK}) as result:
        for row in result:
            yield archive.line_of(list(row))


def _ordered(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column in order of code points: SQLite's own order, not PostgreSQL's default."""
    if connection.dialect.name != SQLITE and isinstance(column.type, String):
        return column.collate("C")
    return column


def _number(connection: Connection) -> None:
    """Let new ids start after the highest one. SQLite does that by itself."""
    if connection.dialect.name == SQLITE:
        return
    for table in data_tables(connection):
        column = table.autoincrement_column
        if column is None:
            continue
        lookup = text("SELECT pg_get_serial_sequence(:table, :column)")
        sequence = connection.scalar(lookup, {"table": table.name, "column": column.name})
        if sequence is not None:
            highest = connection.scalar(select(func.max(column))) or 0
            # Unlike setval, this is undone with the transaction.
            connection.execute(text(f"ALTER SEQUENCE {sequence} RESTART WITH {highest + 1}"))


def _holds_rows(connection: Connection, table: Table) -> bool:
    return connection.execute(select(text("1")).select_from(table).limit(1)).first() is not None


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _short(error: Exception) -> str:
    """The first line of the database's or parser's message: no statement, and no values of it."""
    message = str(getattr(error, "orig", None) or error)
    return message.strip().partition("\n")[0][:200]
