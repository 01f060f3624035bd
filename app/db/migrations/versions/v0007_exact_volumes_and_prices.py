"""Volumes and spot prices of any size; prices in order of arrival; clocks that stand still.

A number that is no whole multiple of 1e-8, or does not fit in 64 bits, is kept as its decimal text
in a column of its own. A candle may also lack its volume.

SQLite cannot take NOT NULL from a column. There the tables are built anew and filled from the old
ones, as in version 0006.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from alembic import op

from app.db.migrations.locks import lock
from app.db.migrations.versions.v0006_more_checks_of_candles import KEY, RULES

revision = "0007"
down_revision = "0006"

_PRICES: Final = ("open", "high", "low", "close")
_MEANS: Final = ("mms_20", "mms_50", "mms_200")
_REVISED: Final = ("old", "new")


def _rules(name: str) -> dict[str, str]:
    return {
        f"one_{name}": f"{name} IS NULL OR {name}_text IS NULL",
        f"{name}_text_not_negative": f"{name}_text NOT LIKE '-%'",
    }


# The new rules of each table, by the end of the constraint's name.
_NEW: Final = {
    "candles": _rules("volume"),
    "candle_revisions": _rules("old_volume") | _rules("new_volume"),
    "prices": _rules("price") | {"a_price": "price IS NOT NULL OR price_text IS NOT NULL"},
}
_NULLABLE: Final = {
    "candles": ("volume",),
    "candle_revisions": tuple(f"{when}_volume" for when in _REVISED),
    "prices": ("price",),
}


def upgrade() -> None:
    """Add the columns, and order prices by arrival. Raises StoreUnavailable on PostgreSQL."""
    if op.get_bind().dialect.name == "sqlite":
        _build_anew()
    else:
        _alter()
    op.create_index("ix_prices_newest", "prices", ["symbol", "currency", "id"])
    op.create_table(
        "host_clocks",
        sa.Column("host", sa.String(300), nullable=False),
        _whole("stamp"),
        _whole("seen_at"),
        sa.PrimaryKeyConstraint("host", name="pk_host_clocks"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Refuse, as the first migration does."""
    raise NotImplementedError("restore the backup that was taken before migrating instead")


def _alter() -> None:
    lock(*_NEW)
    for table, rules in _NEW.items():
        for name in _NULLABLE[table]:
            op.alter_column(table, name, nullable=True)
            op.add_column(table, _text(name))
        for name, rule in rules.items():
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    op.alter_column("prices", "symbol", type_=sa.String(40))
    op.drop_index("ix_prices_newest", "prices")


def _build_anew() -> None:
    # The new averages refer to the new candles before the old tables go, so that every foreign key
    # holds at every moment. SQLite adapts foreign keys when it renames a table.
    _copy(
        "candles",
        [
            *_key(),
            *map(_whole, _PRICES),
            *_exact("volume"),
            sa.PrimaryKeyConstraint(*KEY, name="pk_candles"),
            _of_series("candles"),
            *_checks("candles", RULES["candles"] | _NEW["candles"]),
        ],
    )
    _copy(
        "averages",
        [
            *_key(),
            *(_whole(name, nullable=True) for name in _MEANS),
            sa.PrimaryKeyConstraint(*KEY, name="pk_averages"),
            sa.ForeignKeyConstraint(
                KEY, [f"new_candles.{name}" for name in KEY], name="fk_averages_candles"
            ),
            *_checks("averages", RULES["averages"]),
        ],
    )
    _copy(
        "candle_revisions",
        [
            *_key(),
            _whole("revision"),
            _whole("noticed_at"),
            *(
                column
                for when in _REVISED
                for column in (
                    *(_whole(f"{when}_{name}") for name in _PRICES),
                    *_exact(f"{when}_volume"),
                )
            ),
            sa.PrimaryKeyConstraint(*KEY, "revision", name="pk_candle_revisions"),
            _of_series("candle_revisions"),
            *_checks("candle_revisions", _NEW["candle_revisions"]),
        ],
    )
    _copy(
        "prices",
        [
            sa.Column("id", sa.Integer, nullable=False),
            sa.Column("symbol", sa.String(40), nullable=False),
            sa.Column("currency", sa.String(8), nullable=False),
            *_exact("price"),
            _whole("priced_at"),
            _whole("collected_at"),
            sa.PrimaryKeyConstraint("id", name="pk_prices"),
            *_checks("prices", {"positive": "price > 0"} | _NEW["prices"]),
        ],
        sqlite_with_rowid=True,
        sqlite_autoincrement=True,
    )
    # No id is given twice, not even that of a price which the retention has removed.
    op.execute("DELETE FROM sqlite_sequence WHERE name = 'new_prices'")
    op.execute(
        "INSERT INTO sqlite_sequence (name, seq) "
        "SELECT 'new_prices', seq FROM sqlite_sequence WHERE name = 'prices'"
    )
    tables = ("averages", *_NEW)
    for table in tables:
        op.drop_table(table)
    for table in reversed(tables):
        op.rename_table(f"new_{table}", table)
    op.create_index(
        "ix_candle_revisions_noticed_at", "candle_revisions", ["pair", "interval", "noticed_at"]
    )
    op.create_index("ix_prices_collected_at", "prices", ["collected_at"])


def _key() -> list[sa.Column[object]]:
    return [
        sa.Column("pair", sa.String(25), nullable=False),
        sa.Column("interval", sa.String(3), nullable=False),
        _whole("bucket"),
    ]


def _whole(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _text(name: str) -> sa.Column[object]:
    """The column of the decimal text: 40 digits on both sides of a point."""
    return sa.Column(f"{name}_text", sa.String(81), nullable=True)


def _exact(name: str) -> tuple[sa.Column[object], sa.Column[object]]:
    return _whole(name, nullable=True), _text(name)


def _of_series(table: str) -> sa.ForeignKeyConstraint:
    names = KEY[:2]
    return sa.ForeignKeyConstraint(
        names, [f"series.{name}" for name in names], name=f"fk_{table}_series"
    )


def _checks(table: str, rules: dict[str, str]) -> list[sa.CheckConstraint]:
    return [
        sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}")) for name, rule in rules.items()
    ]


def _copy(table: str, parts: Sequence[sa.schema.SchemaItem], **options: bool) -> None:
    """Create the new table beside the old one, and copy the rows."""
    op.create_table(f"new_{table}", *parts, **({"sqlite_with_rowid": False} | options))
    columns = sa.inspect(op.get_bind()).get_columns(table)
    names = ", ".join(column["name"] for column in columns)
    op.execute(
        f"INSERT INTO new_{table} ({names}) SELECT {names} FROM {table}"  # noqa: S608 - constants
    )
