"""What makes an entry of memcached ours: its name and its signature, both derived from a secret.

memcached asks nobody who they are: whoever reaches it can read, write, swap and replay entries. So
each value carries a keyed digest (BLAKE2b, RFC 7693) of its name and of its bytes, and is used only
if that is right. Names are keyed digests as well: they tell nothing, nobody can work them out, and
installations with different secrets never meet.

Without a secret the keys are those of an empty one, which everybody can compute. Damage is still
found then, malice is not.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest
from typing import Final

_VERSION: Final = 2
"""Of names and signatures. An entry of another version has another name, so it is a miss."""

_SIGNATURE: Final = 16  # bytes


class Signer:
    """The names and signatures of one installation, which `secret` tells from all others."""

    def __init__(self, secret: bytes | None) -> None:
        self._entries = _derived(secret, b"mms entries")
        self._counts = _derived(secret, b"mms counts")
        self._values = _derived(secret, b"mms values")

    def entry_name(self, key: str) -> str:
        """The name of a signed entry, as memcached takes names: 38 characters of ASCII."""
        return f"mms:{_VERSION}:{_digest(self._entries, key.encode()).hex()}"

    def count_name(self, key: str) -> str:
        """The name of a count, which memcached adds to and which therefore cannot be signed."""
        return f"mms:rate:{_VERSION}:{_digest(self._counts, key.encode()).hex()}"

    def signed(self, name: str, value: bytes) -> bytes:
        """The value as it is stored under `name`: the signature, then the value."""
        return self._signature(name, value) + value

    def verified(self, name: str, signed: bytes) -> memoryview | None:
        """The value that was signed for `name`; None for anything else: cut, altered, foreign."""
        view = memoryview(signed)
        value = view[_SIGNATURE:]
        right = compare_digest(view[:_SIGNATURE], self._signature(name, value))
        return value if right else None

    def _signature(self, name: str, value: bytes | memoryview) -> bytes:
        # Names of entries are equally long, so no other name and value give the same bytes.
        return _digest(self._values, name.encode(), value)


def _derived(secret: bytes | None, purpose: bytes) -> bytes:
    """A key for one purpose, so that no name can pass for a signature."""
    return blake2b(secret or b"", digest_size=32, person=purpose).digest()


def _digest(key: bytes, *parts: bytes | memoryview) -> bytes:
    digest = blake2b(digest_size=_SIGNATURE, key=key)
    for part in parts:
        digest.update(part)
    return digest.digest()
