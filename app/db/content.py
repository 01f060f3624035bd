"""What a database holds, as text: the same lines and the same hash from SQLite and from PostgreSQL.

A row is a JSON array of its values in the order of the columns' names; rows come in the order of their
key, strings by code point. A table's hash is the SHA-256 of its column names and rows, a line each; the
whole content's is the SHA-256 of the schema's version and of every table's name, rows and hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, MetaData, String, Table, inspect, select, text

from app.core.errors import StoreUnusable
from app.db import schema
from app.db.models import Base
from app.db.session import SQLITE

OPERATIONAL: Final = frozenset({"leases", "gates"})
"""Tables of what processes do at the moment: no data, and stale as soon as it is read."""

BLOCK: Final = 5_000
"""Rows that are in memory at a time."""

encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class TableSum:
    """How many rows a table has, and the SHA-256 of its lines."""

    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a database holds, in brief. `schema` is the version that its tables are at."""

    schema: str
    tables: Mapping[str, TableSum]

    @property
    def rows(self) -> int:
        """Rows in all tables."""
        return sum(table.rows for table in self.tables.values())

    @property
    def sha256(self) -> str:
        """The hash of everything."""
        lines = [
            f"{name} {self.tables[name].rows} {self.tables[name].sha256}\n"
            for name in sorted(self.tables)
        ]
        return hashlib.sha256("".join([f"schema {self.schema}\n", *lines]).encode()).hexdigest()


class Summing:
    """Adds up one table's lines, the column names first."""

    def __init__(self, columns: list[str]) -> None:
        self._rows = 0
        self._hash = hashlib.sha256(line_of(columns))

    def add(self, lines: list[bytes]) -> None:
        """Go on with these rows."""
        self._rows += len(lines)
        self._hash.update(b"".join(lines))

    def result(self) -> TableSum:
        """What it came to."""
        return TableSum(self._rows, self._hash.hexdigest())


def line_of(values: list[Any]) -> bytes:
    """One row, or the names of the columns, with the end of its line."""
    return encode(values).encode("ascii") + b"\n"


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
    version = required_version(connection)
    sums = {}
    for table in data_tables(connection):
        summing = Summing(columns_of(table))
        for lines in read(connection, table):
            summing.add(lines)
        sums[table.name] = summing.result()
    return Content(version, sums)


def highest_ids(connection: Connection) -> dict[str, int]:
    """The highest id that each numbered table has given to a row, be the row still there or not."""
    found = {}
    for table in data_tables(connection):
        column = table.autoincrement_column
        if column is None:
            continue
        if connection.dialect.name == SQLITE:
            asked = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
            highest = connection.scalar(asked, {"table": table.name})
        elif (sequence := sequence_of(connection, table.name, column.name)) is not None:
            number = "CASE WHEN is_called THEN last_value ELSE last_value - 1 END"
            asked = text(f"SELECT {number} FROM {sequence}")  # noqa: S608 - names of our own
            highest = connection.scalar(asked)
        else:
            highest = None
        if highest:
            found[table.name] = int(highest)
    return found


def sequence_of(connection: Connection, table: str, column: str) -> str | None:
    """The name, ready for a statement, of what numbers the rows of a table in PostgreSQL."""
    asked = text("SELECT pg_get_serial_sequence(:table, :column)")
    name: str | None = connection.scalar(asked, {"table": table, "column": column})
    return name


def _ordered(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """By code point, which is SQLite's order, and PostgreSQL's only where it is told."""
    if connection.dialect.name != SQLITE and isinstance(column.type, String):
        return column.collate("C")
    return column
