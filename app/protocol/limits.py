"""What a client may take of this process, as the settings say."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final, Self

from app.core.settings import Settings

SHARE_OF_FILES: Final = 0.8
"""The part of the files that the process may open that connections may take. The rest is for the
database, the cache, the exchange and the log."""

MOST_CONNECTIONS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one process. Times are in seconds; `docs/settings.md` says what each holds."""

    header_bytes: int
    headers: int
    header_seconds: float
    body_bytes: int
    body_seconds: float
    send_seconds: float
    connections: int
    per_client: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that these settings set."""
        connections = settings.max_connections
        return cls(
            header_bytes=settings.max_header_bytes,
            headers=settings.max_headers,
            header_seconds=settings.header_timeout_seconds,
            body_bytes=settings.max_body_bytes,
            body_seconds=settings.body_timeout_seconds,
            send_seconds=settings.send_timeout_seconds,
            connections=most_connections() if connections == "auto" else connections,
            per_client=settings.max_connections_per_client,
        )


def most_connections() -> int:
    """The connections that the process may have by its limit of open files (`ulimit -n`)."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return min(MOST_CONNECTIONS, max(1, int(files * SHARE_OF_FILES)))
