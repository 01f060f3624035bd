"""Collected spot prices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table and its indexes: newest first for reads, by collection time to prune."""
    op.create_table(
        "prices",
        # SQLite assigns ids only to an INTEGER key.
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(),
            nullable=False,
        ),
        sa.Column("symbol", sa.String(12), nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("priced_at", sa.BigInteger, nullable=False),
        sa.Column("collected_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prices"),
        sa.CheckConstraint("price > 0", name=op.f("ck_prices_positive")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_prices_newest", "prices", ["symbol", "currency", "collected_at", "id"])
    op.create_index("ix_prices_collected_at", "prices", ["collected_at"])


def downgrade() -> None:
    """Refuse, as the first migration does."""
    raise NotImplementedError("restore the backup that was taken before migrating instead")
