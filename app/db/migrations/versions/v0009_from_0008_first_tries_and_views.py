"""A series says when its first load began; views show the data to people who know SQL.

The column is nullable and no program reads the views, so that a program of version 0008 works on
this schema. A later migration that rebuilds candles, averages or prices drops the views first, and
creates them again.

PostgreSQL has exact numerics and timestamptz. SQLite has neither. Its prices are REAL, the only
type there that sorts, sums and divides as a number: the double nearest to the stored integer of
1e-8, which rounded to 8 places is the exact price below 67,108,864 (2**26). Its times are text
that sorts as time does. The casts to TEXT and REAL name a type for programs that ask for one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_from_0008"
down_revision = "0008_from_0007"

_BASE = "rtrim(pair, replace(pair, '-', ''))"
"""BASE and the last hyphen of BASE-QUOTE; a base may have hyphens of its own."""

_LEGACY = f"substr(pair, length({_BASE}) + 1) || substr(pair, 1, length({_BASE}) - 1)"

_LATEST = 253_402_300_799
"""9999-12-31T23:59:59Z: no date names a later time, and PostgreSQL's to_timestamp refuses one."""


def upgrade() -> None:
    """Add the column and the views."""
    op.add_column("series", sa.Column("first_tried_at", sa.BigInteger, nullable=True))
    columns = _columns(sqlite=op.get_bind().dialect.name == "sqlite")
    for table, listed in columns.items():
        query = f"SELECT {', '.join(listed)} FROM {table}"  # noqa: S608 - constants
        if table == "prices":  # as in the API, without a price whose time no date can name
            query += "".join(
                f" {word} {name} BETWEEN 0 AND {_LATEST}"
                for word, name in (("WHERE", "priced_at"), ("AND", "collected_at"))
            )
        op.execute(f"CREATE VIEW v_{table} AS {query}")


def _columns(*, sqlite: bool) -> dict[str, list[str]]:
    """The columns of the view of each table."""

    def time(name: str) -> str:
        if sqlite:
            return f"CAST(strftime('%Y-%m-%dT%H:%M:%SZ', {name}, 'unixepoch') AS TEXT) AS {name}"
        return f"to_timestamp({name}) AS {name}"

    def price(name: str) -> str:
        if sqlite:
            return f"CAST({name} / 100000000.0 AS REAL) AS {name}"
        return f"CAST({name} * 0.00000001 AS numeric(20, 8)) AS {name}"

    def exact(name: str) -> str:
        if sqlite:
            return f"CAST(coalesce({name} / 100000000.0, {name}_text) AS REAL) AS {name}"
        return f"coalesce({name} * 0.00000001, CAST({name}_text AS numeric)) AS {name}"

    key = [
        f"CAST({_LEGACY} AS TEXT) AS pair",
        "pair AS symbol",
        "interval",
        time("bucket"),
        "bucket AS timestamp",
    ]
    return {
        "candles": [*key, *map(price, ("open", "high", "low", "close")), exact("volume")],
        "averages": [*key, *map(price, ("mms_20", "mms_50", "mms_200"))],
        "prices": [
            *("id", "symbol", "currency"),
            exact("price"),
            *map(time, ("priced_at", "collected_at")),
        ],
    }


def downgrade() -> None:
    """Refuse, as the first migration does."""
    raise NotImplementedError("restore the backup that was taken before migrating instead")
