"""More checks: the tables refuse impossible candles and impossible averages.

Until now they accepted stamps in milliseconds and prices whose window sums exceed 64 bits. SQLite,
which does not enforce a column's type, also accepted fractions and text.

SQLite cannot add a constraint to a table. There both tables are built anew and filled from the old
ones. That takes some five seconds for 500,000 candles with their averages, and doubles the size of
the file; later rows fill the free half.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from app.core.errors import StoreUnusable
from app.core.how_to_run import how_to_run
from app.db.migrations.locks import lock

revision = "0006"
down_revision = "0005"

# Written out, not taken from the models: a migration must not change when the models do.
KEY: Final = ("pair", "interval", "bucket")
_VALUES: Final = {
    "candles": ("open", "high", "low", "close", "volume"),
    "averages": ("mms_20", "mms_50", "mms_200"),
}
_NULLABLE: Final = {"candles": False, "averages": True}
_PARENT: Final = {"candles": ("series", KEY[:2]), "averages": ("candles", KEY)}
_HIGHEST: Final = 46_116_860_184_273_879


def _whole(*names: str) -> str:
    return " AND ".join(f"{name} = CAST({name} AS BIGINT)" for name in names)


_OF_BUCKETS: Final = {
    "on_grid": "CASE interval WHEN '1m' THEN bucket % 60 WHEN '15m' THEN bucket % 900 "
    "WHEN '1h' THEN bucket % 3600 WHEN '3h' THEN bucket % 10800 WHEN '1d' THEN bucket % 86400 "
    "ELSE 1 END = 0",
    "not_before_2011": "bucket >= 1293840000",
    "in_seconds": "bucket < 100000000000",
}
RULES: Final = {
    "candles": {
        **_OF_BUCKETS,
        "positive": "low > 0",
        "high_is_highest": "high >= open AND high >= close AND high >= low",
        "low_is_lowest": "low <= open AND low <= close",
        "volume_not_negative": "volume >= 0",
        "averages_fit": f"high <= {_HIGHEST}",
        "whole_numbers": _whole("bucket", *_VALUES["candles"]),
    },
    "averages": {
        **_OF_BUCKETS,
        "positive": "mms_20 > 0 AND mms_50 > 0 AND mms_200 > 0",
        "not_above_highest": " AND ".join(f"{name} <= {_HIGHEST}" for name in _VALUES["averages"]),
        "whole_numbers": _whole("bucket", *_VALUES["averages"]),
    },
}
_NEW: Final = {
    "candles": ("in_seconds", "averages_fit", "whole_numbers"),
    "averages": (*_OF_BUCKETS, "not_above_highest", "whole_numbers"),
}


def upgrade() -> None:
    """Add the constraints. Raises StoreUnusable where a row breaks one, and StoreUnavailable."""
    postgres = op.get_bind().dialect.name != "sqlite"
    if postgres:
        lock("candles", "averages")
    troubles = [trouble for table in RULES for trouble in _broken(table)]
    if troubles:
        raise StoreUnusable(
            f"the database holds rows that version {revision} refuses, written by another program: "
            f"{'; '.join(troubles)}. Nothing was changed: delete them, averages before their candles, "
            f"then run {how_to_run('migrate')}, and {how_to_run('monitor', '--repair')} to load them "
            "anew; or restore a backup"
        )
    if postgres:
        for table, names in _NEW.items():
            added = (f"ADD CONSTRAINT ck_{table}_{n} CHECK ({RULES[table][n]})" for n in names)
            op.execute(f"ALTER TABLE {table} {', '.join(added)}")
        return
    # The new averages refer to the new candles before the old tables go, so that every foreign key
    # holds at every moment. SQLite adapts foreign keys when it renames a table.
    for table in RULES:
        _copy(table)
    for table in reversed(RULES):
        op.drop_table(table)
    for table in RULES:
        op.rename_table(f"new_{table}", table)


def downgrade() -> None:
    """Refuse, as the first migration does."""
    raise NotImplementedError("restore the backup that was taken before migrating instead")


def _broken(table: str) -> list[str]:
    """A phrase for each rule that some of the table's rows break."""
    parent, columns = _PARENT[table]
    same = " AND ".join(f"{parent}.{name} = {table}.{name}" for name in columns)
    rules = dict(RULES[table])
    # SQLite enforces foreign keys only for programs that turn them on; its own shell does not.
    rules["with its row"] = (
        f"EXISTS (SELECT 1 FROM {parent} WHERE {same})"  # noqa: S608 - constants
    )
    counts = ", ".join(f"count(CASE WHEN NOT ({rule}) THEN 1 END)" for rule in rules.values())
    bind = op.get_bind()
    found = bind.execute(sa.text(f"SELECT {counts} FROM {table}")).one()  # noqa: S608 - constants
    phrases = []
    for rule, count in zip(rules.values(), found, strict=True):
        if count:
            first = bind.execute(
                sa.text(
                    f"SELECT {', '.join(KEY)} FROM {table} WHERE NOT ({rule}) "  # noqa: S608 - constants
                    f"ORDER BY {', '.join(KEY)} LIMIT 1"
                )
            ).one()
            named = " ".join(str(part)[:30] for part in first)
            phrases.append(f"{count} of {table} WHERE NOT ({rule}), the first is {named}")
    return phrases


def _copy(table: str) -> None:
    """Create the new table beside the old one, with all rules, and copy the rows."""
    parent, columns = _PARENT[table]
    beside = "new_candles" if parent == "candles" else parent
    op.create_table(
        f"new_{table}",
        sa.Column("pair", sa.String(25), nullable=False),
        sa.Column("interval", sa.String(3), nullable=False),
        sa.Column("bucket", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=_NULLABLE[table]) for name in _VALUES[table]),
        sa.PrimaryKeyConstraint(*KEY, name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            columns, [f"{beside}.{name}" for name in columns], name=f"fk_{table}_{parent}"
        ),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}"))
            for name, rule in RULES[table].items()
        ),
        sqlite_with_rowid=False,
    )
    names = ", ".join((*KEY, *_VALUES[table]))
    copied = (
        f"INSERT INTO new_{table} ({names}) SELECT {names} FROM {table}"  # noqa: S608 - constants
    )
    op.execute(copied)
