"""The rate limiter's table: all processes together send a host no more requests than it allows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "gates",
        sa.Column("host", sa.String(300), nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("closed_until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_gates"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Refuse, as the first migration does."""
    raise NotImplementedError("restore the backup that was taken before migrating instead")
