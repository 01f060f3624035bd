"""Bulk upserts: many rows in one statement, the fastest form that both databases share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

Row = tuple[Any, ...]

# SQLite takes 32,766 values a statement, PostgreSQL 65,535; the statement's text is cached, so all
# full blocks of a load share one.
_VALUES_A_STATEMENT: Final = 32_000


def upsert(
    connection: Connection,
    table: str,
    key: Sequence[str],
    values: Sequence[str],
    rows: Sequence[Row],
    *,
    keep: Sequence[str] = (),
) -> None:
    """Insert `rows` (in the order key + values), replacing those whose key exists.

    Columns in `keep` are set when a row is new and left alone when it exists. Rows ascending by key
    are several times faster than shuffled ones. All names are this package's constants.
    """
    updates = ", ".join(f"{name} = excluded.{name}" for name in values if name not in keep)
    conflict = f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {updates}"
    insert(connection, table, [*key, *values], rows, conflict)


def insert(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    conflict: str = "",
) -> None:
    """Insert `rows`; `conflict` is SQL for those that exist, of which there are none otherwise.

    All names are the database's own.
    """
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    one = f"({', '.join([mark] * len(columns))})"
    size = _VALUES_A_STATEMENT // len(columns)
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        connection.exec_driver_sql(
            f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - no input in it
            f"VALUES {', '.join([one] * len(block))}{conflict}",
            tuple(value for row in block for value in row),
        )
