"""Refused candles, and closed candles that the exchange revised: their values before and after."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_PRICES = ("open", "high", "low", "close", "volume")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "quarantine",
        sa.Column("pair", sa.String(25), nullable=False),
        sa.Column("interval", sa.String(3), nullable=False),
        sa.Column("bucket", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("pair", "interval", "bucket", "reason", name="pk_quarantine"),
        sa.ForeignKeyConstraint(
            ["pair", "interval"], ["series.pair", "series.interval"], name="fk_quarantine_series"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "candle_revisions",
        sa.Column("pair", sa.String(25), nullable=False),
        sa.Column("interval", sa.String(3), nullable=False),
        sa.Column("bucket", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("noticed_at", sa.BigInteger, nullable=False),
        *(sa.Column(f"old_{name}", sa.BigInteger, nullable=False) for name in _PRICES),
        *(sa.Column(f"new_{name}", sa.BigInteger, nullable=False) for name in _PRICES),
        sa.PrimaryKeyConstraint(
            "pair", "interval", "bucket", "revision", name="pk_candle_revisions"
        ),
        sa.ForeignKeyConstraint(
            ["pair", "interval"],
            ["series.pair", "series.interval"],
            name="fk_candle_revisions_series",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_candle_revisions_noticed_at", "candle_revisions", ["pair", "interval", "noticed_at"]
    )


def downgrade() -> None:
    """Refuse, as the first migration does."""
    raise NotImplementedError("restore the backup that was taken before migrating instead")
