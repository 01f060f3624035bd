"""API keys as an operator makes them: the key for a client, its entry for API_KEYS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.core.api_keys import SCOPES, ApiKey, digest_of, new_key


@dataclass(frozen=True)
class Key:
    """A key, and its entry in API_KEYS."""

    secret: str
    entry: str


def new(name: str) -> Key:
    """Make a key that is valid until tomorrow."""
    secret = new_key()
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    entry = ApiKey(name, frozenset(SCOPES), tomorrow, digest_of(secret.encode("ascii")))
    return Key(secret, str(entry))
