"""What a database holds, as lines of text: the same from SQLite and from PostgreSQL.

A row is a JSON array of its values in the order of the columns' names; rows come in the order of their
key, strings by code point. The hash of it all is the SHA-256 of the schema's version and of these lines,
before each table's one with its name and columns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, MetaData, String, Table, inspect, select

from app.core.errors import StoreUnusable
from app.db import schema
from app.db.models import Base
from app.db.session import SQLITE

OPERATIONAL: Final = frozenset({"leases", "gates"})
"""Tables of what processes do at the moment: no data, and stale as soon as it is read."""

BLOCK: Final = 5_000
"""Rows that are in memory at a time."""

_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Content:
    """What a database holds, in brief: the schema's version, the rows of each table, and the hash."""

    schema: str
    rows: Mapping[str, int]
    sha256: str


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a table, as lines. `columns` are those that a backup names, whatever it names."""

    table: str
    columns: Any
    lines: list[bytes]


class Tally:
    """Adds up the lines of a content."""

    def __init__(self, version: str) -> None:
        self._schema = version
        self._table = ""
        self._rows: dict[str, int] = {}
        self._hash = hashlib.sha256(f"schema {version}\n".encode())

    def begin(self, table: str, line: bytes) -> None:
        """Go on with this table, whose line this is."""
        self._table = table
        self._rows[table] = 0
        self._hash.update(line)

    def add(self, lines: list[bytes]) -> None:
        """Go on with these rows."""
        self._rows[self._table] = self._rows.get(self._table, 0) + len(lines)
        self._hash.update(b"".join(lines))

    def content(self) -> Content:
        """What it came to."""
        return Content(self._schema, self._rows, self._hash.hexdigest())


def line_of(value: Any) -> bytes:
    """A row, or what stands between rows, with the end of its line."""
    return _encode(value).encode("ascii") + b"\n"


def table_line(name: str, columns: list[str]) -> bytes:
    """What stands before the rows of a table."""
    return line_of({"table": name, "columns": columns})


def data_tables(connection: Connection) -> list[Table]:
    """The tables that hold data, as the database has them, each after those that it refers to.

    Their columns are read from the database and not from the models, so that an older schema can be
    read as well. A table that a later version does without must stay known here by its name.
    """
    known = set(Base.metadata.tables) - OPERATIONAL
    names = known & set(inspect(connection).get_table_names())
    found = MetaData()
    found.reflect(connection, only=sorted(names))
    return [table for table in found.sorted_tables if table.name in names]


def columns_of(table: Table) -> list[str]:
    """The names of a table's columns in the order that lines have: no database's own."""
    return sorted(table.columns.keys())


def read(connection: Connection, table: Table) -> Generator[list[bytes], None, None]:
    """All rows of a table as lines, in blocks; the table is never in memory as a whole."""
    wanted = select(*(table.columns[name] for name in columns_of(table)))
    wanted = wanted.order_by(
        *(_ordered(connection, column) for column in table.primary_key.columns)
    )
    with connection.execute(wanted, execution_options={"yield_per": BLOCK}) as result:
        for rows in result.partitions():
            yield [line_of(list(row)) for row in rows]


def required_version(connection: Connection) -> str:
    """The schema's version. Raises StoreUnusable where there is none, or one that is unknown."""
    version = schema.version_of(connection)
    if version is None:
        raise StoreUnusable("the database has no tables yet: make initial_load")
    schema.refuse_newer(version)
    return version


def content_of(connection: Connection) -> Content:
    """Add up everything in the database. Raises StoreUnusable where nothing of ours is in it."""
    tally = Tally(required_version(connection))
    for table in data_tables(connection):
        tally.begin(table.name, table_line(table.name, columns_of(table)))
        for lines in read(connection, table):
            tally.add(lines)
    return tally.content()


def _ordered(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """By code point, which is SQLite's order, and PostgreSQL's only where it is told."""
    if connection.dialect.name != SQLITE and isinstance(column.type, String):
        return column.collate("C")
    return column
