"""API keys: who may do what until when. The service knows a key's digest only, never the key.

A line of the setting API_KEYS is `id:scopes:expiry:sha256`, such as
`ops:read+collect:2027-12-31:9f86…`. The id stands in the log. The digest is SHA-256 of the whole
key in hexadecimal digits. A key is random and has 256 bits, so nobody can guess it from its digest,
and a slow hash would protect nothing.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Final

from app.core.errors import ConfigurationError
from app.core.how_to_run import how_to_run

READ: Final = "read"
COLLECT: Final = "collect"
SCOPES: Final = (READ, COLLECT)

PREFIX: Final = "mms_"
"""What a key begins with, so that scanners for lost secrets can tell one."""

ID_RULE: Final = "up to 40 letters, digits, dots, underscores and hyphens"

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_PARTS: Final = 4
_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of one key. It is valid until the end of the day `expires`, UTC."""

    id: str
    scopes: frozenset[str]
    expires: date
    digest: bytes = field(repr=False)

    def __str__(self) -> str:
        """The line for API_KEYS."""
        scopes = "+".join(scope for scope in SCOPES if scope in self.scopes)
        return f"{self.id}:{scopes}:{self.expires.isoformat()}:{self.digest.hex()}"


def new_key() -> str:
    """A new random key of 256 bits, as text without characters that a header or a shell changes."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def digest_of(key: bytes) -> bytes:
    """The digest under which a key is known."""
    return sha256(key).digest()


def read_keys(text: str) -> tuple[ApiKey, ...]:
    """Read the entries of API_KEYS, with commas or line breaks between.

    Lines that begin with `#` are comments. Raises ConfigurationError, whose message follows the
    setting's name. It repeats nothing but an id: a key itself may stand in the place of its line.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    entries = [entry.strip() for line in lines for entry in line.split(",")]
    keys = [_key(number, entry) for number, entry in enumerate(filter(None, entries), 1)]
    digests: dict[bytes, str] = {}
    for key in keys:
        if key.digest in digests:
            raise ConfigurationError(
                f"has the key of {digests[key.digest]!r} twice; write each key once, with all its "
                "scopes"
            )
        digests[key.digest] = key.id
    return tuple(keys)


def is_id(text: str) -> bool:
    """Whether a key may have this id."""
    return _ID.fullmatch(text) is not None


def scopes_of(text: str) -> frozenset[str] | None:
    """Read scopes such as `read+collect`; None where one does not exist."""
    chosen = frozenset(text.lower().split("+"))
    return chosen if chosen <= set(SCOPES) else None


def day_of(text: str) -> date | None:
    """Read a day such as 2027-12-31; None where it is none."""
    if _DATE.fullmatch(text):
        with suppress(ValueError):
            return date.fromisoformat(text)
    return None


def _key(number: int, line: str) -> ApiKey:
    parts = line.split(":")
    if len(parts) != _PARTS or not is_id(parts[0]):
        raise ConfigurationError(
            f"entry {number} is not id:scopes:expiry:sha256 (an id has {ID_RULE}); "
            f"{how_to_run('keys')} prints a key with its entry"
        )
    name, written, expiry, digest = parts
    scopes = scopes_of(written)
    if scopes is None:
        raise ConfigurationError(
            f"entry {number} ({name}) has a scope that does not exist; write any of "
            f"{', '.join(SCOPES)}, with + between"
        )
    if not _DIGEST.fullmatch(digest):
        raise ConfigurationError(
            f"entry {number} ({name}) does not end with a SHA-256 of 64 hexadecimal digits; "
            f"{how_to_run('keys')} prints a key with its entry"
        )
    expires = day_of(expiry)
    if expires is None:
        raise ConfigurationError(
            f"entry {number} ({name}) has no last day; write a date such as 2027-12-31, which is "
            "the last day on which the key is valid, by UTC"
        )
    return ApiKey(name, scopes, expires, bytes.fromhex(digest))
