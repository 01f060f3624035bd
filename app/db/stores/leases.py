"""Leases: one process at a time does a piece of work.

A lease is a row with an expiry in the database, not a file. So it holds across machines, and the
lease of a dead process expires. A lease keeps two loaders from requesting the same data.
Correctness does not depend on it: a series is written under its own lock.
"""

from __future__ import annotations

import os
import secrets
import socket
from typing import Final

from sqlalchemy import Engine, delete, select, text

from app.db.models import LEASES
from app.db.session import for_reading, reading, transaction

LEASE_SECONDS: Final = 120
"""How long a lease lasts without being renewed."""

FARTHEST: Final = 2 * LEASE_SECONDS
"""Every valid lease ends at most so many seconds from now. Allows for clock skew."""

# One atomic statement for both databases. Another holder's row is replaced once it has expired, or
# if it ends later than any lease can: its writer's clock was wrong, or was set back since.
_TAKE: Final = text(
    "INSERT INTO leases (name, holder, expires_at) VALUES (:name, :holder, :expires_at) "
    "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at "
    "WHERE leases.expires_at <= :now OR leases.expires_at > :farthest "
    "OR leases.holder = excluded.holder"
)


class SqlLeases:
    """Leases in SQLite or PostgreSQL. Each object is one holder, named after its process."""

    def __init__(self, engine: Engine, holder: str | None = None) -> None:
        self._engine = engine
        self._reads = for_reading(engine)
        self._holder = holder or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def take(self, name: str, now: float) -> str | None:
        """Take or renew the lease until `now` + LEASE_SECONDS.

        Returns None where it is ours now, else its holder. Raises StoreError.
        """
        values = {
            "name": name,
            "holder": self._holder,
            "now": int(now),
            "farthest": int(now) + FARTHEST,
            "expires_at": int(now) + LEASE_SECONDS,
        }
        with transaction(self._engine) as connection:
            if connection.execute(_TAKE, values).rowcount:
                return None
        with reading(self._reads) as connection:
            other = connection.scalar(select(LEASES.c.holder).where(LEASES.c.name == name))
        # The holder may have released it between the two statements; it still was not ours.
        return other or "another process"

    def release(self, name: str) -> None:
        """Give the lease back if it is ours. Raises StoreError."""
        with transaction(self._engine) as connection:
            connection.execute(
                delete(LEASES).where(LEASES.c.name == name, LEASES.c.holder == self._holder)
            )
