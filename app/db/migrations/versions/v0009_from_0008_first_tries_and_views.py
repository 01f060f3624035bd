"""A series says when its first load began.

The column is nullable, so that a program of version 0008 works on this schema.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_from_0008"
down_revision = "0008_from_0007"


def upgrade() -> None:
    """Add the column."""
    op.add_column("series", sa.Column("first_tried_at", sa.BigInteger, nullable=True))


def downgrade() -> None:
    """Refuse, as the first migration does."""
    raise NotImplementedError("restore the backup that was taken before migrating instead")
