"""The requests to a host are counted in each calendar month.

The columns are nullable, so that a program of version 0007 works on this schema: it counts nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_from_0007"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("gates", sa.Column("month", sa.Integer, nullable=True))
    op.add_column("gates", sa.Column("calls", sa.BigInteger, nullable=True))


def downgrade() -> None:
    """Refuse, as the first migration does."""
    raise NotImplementedError("restore the backup that was taken before migrating instead")
