"""Candles, averages, the series they belong to, and buckets that the exchange did not have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Written out, not taken from the models: a migration must not change when the models do.
_GRID = (
    "CASE interval WHEN '1m' THEN bucket % 60 WHEN '15m' THEN bucket % 900 "
    "WHEN '1h' THEN bucket % 3600 WHEN '3h' THEN bucket % 10800 WHEN '1d' THEN bucket % 86400 "
    "ELSE 1 END = 0"
)


def _key() -> list[sa.Column[object]]:
    return [
        sa.Column("pair", sa.String(25), nullable=False),
        sa.Column("interval", sa.String(3), nullable=False),
        sa.Column("bucket", sa.BigInteger, nullable=False),
    ]


def upgrade() -> None:
    """Create the first four tables."""
    op.create_table(
        "series",
        sa.Column("pair", sa.String(25), nullable=False),
        sa.Column("interval", sa.String(3), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("checked_at", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("pair", "interval", name="pk_series"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "candles",
        *_key(),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("open", "high", "low", "close", "volume")
        ),
        sa.PrimaryKeyConstraint("pair", "interval", "bucket", name="pk_candles"),
        sa.ForeignKeyConstraint(
            ["pair", "interval"], ["series.pair", "series.interval"], name="fk_candles_series"
        ),
        sa.CheckConstraint(_GRID, name=op.f("ck_candles_on_grid")),
        sa.CheckConstraint("bucket >= 1293840000", name=op.f("ck_candles_not_before_2011")),
        sa.CheckConstraint("low > 0", name=op.f("ck_candles_positive")),
        sa.CheckConstraint(
            "high >= open AND high >= close AND high >= low",
            name=op.f("ck_candles_high_is_highest"),
        ),
        sa.CheckConstraint("low <= open AND low <= close", name=op.f("ck_candles_low_is_lowest")),
        sa.CheckConstraint("volume >= 0", name=op.f("ck_candles_volume_not_negative")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "averages",
        *_key(),
        *(
            sa.Column(name, sa.BigInteger, nullable=True)
            for name in ("mms_20", "mms_50", "mms_200")
        ),
        sa.PrimaryKeyConstraint("pair", "interval", "bucket", name="pk_averages"),
        sa.ForeignKeyConstraint(
            ["pair", "interval", "bucket"],
            ["candles.pair", "candles.interval", "candles.bucket"],
            name="fk_averages_candles",
        ),
        sa.CheckConstraint(
            "mms_20 > 0 AND mms_50 > 0 AND mms_200 > 0", name=op.f("ck_averages_positive")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "absences",
        *_key(),
        sa.Column("first_asked_at", sa.BigInteger, nullable=False),
        sa.Column("last_asked_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("pair", "interval", "bucket", name="pk_absences"),
        sa.ForeignKeyConstraint(
            ["pair", "interval"], ["series.pair", "series.interval"], name="fk_absences_series"
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Refuse: no command throws away data that came from outside."""
    raise NotImplementedError("restore the backup that was taken before migrating instead")
