"""The lock that a migration of existing tables takes on PostgreSQL."""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy.exc import OperationalError

from app.core.errors import StoreUnavailable

_PATIENCE: Final = "5s"
"""How long PostgreSQL waits for other users of the tables: meanwhile everybody else waits too.

An operator's own lock_timeout is used instead if there is one.
"""


def lock(*tables: str) -> None:
    """Keep everybody else from these tables until the migration ends. Raises StoreUnavailable."""
    op.execute(
        f"SELECT set_config('lock_timeout', '{_PATIENCE}', true) "
        "WHERE current_setting('lock_timeout') = '0'"
    )
    try:
        op.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
    except OperationalError as error:
        raise StoreUnavailable(
            f"the tables {' and '.join(tables)} are in use by another program and cannot be migrated "
            "meanwhile: end it, or run this again later"
        ) from error
