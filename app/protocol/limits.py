"""What a client may take of this process, as the settings say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from app.api.streams import most_streams
from app.core import open_files
from app.core.settings import Settings

MOST_CONNECTIONS: Final = 10_000
"""The most connections by default: some 100 MB. Containers often may open a million files."""


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
            connections=(
                most_connections(most_streams(settings)) if connections == "auto" else connections
            ),
            per_client=settings.max_connections_per_client,
        )


def most_connections(streams: int) -> int:
    """The connections that the process may have beside so many streams, by its limit of files."""
    files = open_files.for_connections()
    return MOST_CONNECTIONS if files is None else min(MOST_CONNECTIONS, files - streams)
