"""The times that hosts with a wrong clock sent: so the next process notices a standing one."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, select, text

from app.db.models import HOST_CLOCKS
from app.db.session import transaction

# One atomic statement for both databases. Of two processes, the first to see the stamp counts.
_KEEP: Final = text(
    "INSERT INTO host_clocks (host, stamp, seen_at) VALUES (:host, :stamp, :now) "
    "ON CONFLICT (host) DO UPDATE SET stamp = excluded.stamp, seen_at = excluded.seen_at "
    "WHERE host_clocks.stamp <> excluded.stamp OR host_clocks.seen_at > excluded.seen_at"
)


class SqlHostClocks:
    """HostClocks in SQLite or PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def seen(self, host: str, stamp: int, now: float) -> int:
        """See HostClocks.seen. Raises StoreError."""
        at = int(now)
        with transaction(self._engine) as connection:
            connection.execute(_KEEP, {"host": host, "stamp": stamp, "now": at})
            kept = connection.scalar(
                select(HOST_CLOCKS.c.seen_at).where(
                    HOST_CLOCKS.c.host == host, HOST_CLOCKS.c.stamp == stamp
                )
            )
        return at if kept is None else min(kept, at)
