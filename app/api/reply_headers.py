"""The headers that every reply has, whoever makes it: what browsers and caches may do with it."""

from __future__ import annotations

from typing import Final

from app.api.compression import VARY, RawHeaders
from app.core.settings import Settings

SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Of every reply: its type is right, its address is nobody's business, no other site embeds it."""

EMBEDDED: Final = (b"cross-origin-resource-policy", b"cross-origin")
"""Of a reply that pages of any site may embed."""

POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""Of a reply that is no page: it loads and runs nothing, and nobody frames it."""

NO_STORE: Final = (b"cache-control", b"no-store")
"""Of a reply without an entity tag: it is right at this moment alone."""

_REVALIDATED: Final = (b"cache-control", b"no-cache")
_PUBLIC: Final = b"public"
_PRIVATE: Final = b"private"


class ReplyHeaders:
    """Completes the headers of a reply, as the settings have it.

    Where reads need a key, no cache may give one client's reply to another.
    """

    def __init__(self, settings: Settings) -> None:
        self._private = settings.read_access == "key"
        varies = [b"Authorization"] if self._private else []
        varies += [b"Origin"] if settings.cors_origins else []
        self._varies = varies
        seconds = settings.hsts_seconds
        https_only = (b"strict-transport-security", b"max-age=%d" % seconds)
        self._fixed = [*SECURITY, https_only] if seconds else [*SECURITY]

    def completed(self, headers: RawHeaders) -> RawHeaders:
        """These headers with those that every reply has; what a reply says itself counts."""
        names = {name for name, _ in headers}
        seen = map(self._seen, headers) if self._varies else headers
        complete = [*seen, *(header for header in self._fixed if header[0] not in names)]
        if b"cache-control" not in names:
            complete.append(_REVALIDATED if b"etag" in names else NO_STORE)
        if b"vary" not in names:
            complete.append(self._seen(VARY))
        if POLICY[0] not in names:
            complete.append(POLICY)
        return complete

    def _seen(self, header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        name, value = header
        if name == b"vary":
            return name, b", ".join([value, *self._varies])
        if self._private and name == b"cache-control":
            return name, value.replace(_PUBLIC, _PRIVATE)
        return header
