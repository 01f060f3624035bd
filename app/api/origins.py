"""What web pages may do from a browser: those of CORS_ORIGINS may read, none may write.

A browser sends requests of any page along with whatever gives access from its machine: its place
behind a firewall, or on the service's own machine. It keeps the reply from a page of another
origin, unless the reply names that origin (CORS). A request that changes something has done so by
then, so one that a page of another origin makes is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from app.api import errors
from app.api.fast_path import Answer, answer_of
from app.api.refusals import Refusal
from app.api.reply_headers import ReplyHeaders

_EXPOSED: Final = (
    "X-Data-As-Of, X-Data-Stale, X-Data-Missing, X-Data-Reason, ETag, Link, X-Request-ID, "
    "RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, Age"
)
"""What a page may read of a reply, besides what every page may."""

_OWN: Final = ("same-origin", "none")
"""Sec-Fetch-Site of a request by a page of ours, or by the user."""

_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, HEAD"),
    (b"access-control-allow-headers", b"Authorization, If-None-Match, X-Request-ID"),
    (b"access-control-max-age", b"600"),
)
_USUAL_PORTS: Final = {"http": ":80", "https": ":443"}


class Origins:
    """The origins of CORS_ORIGINS, whose pages may read.

    Sources: the Fetch standard, 3.3 (CORS protocol), and the W3C's Fetch Metadata (Sec-Fetch-Site).
    """

    def __init__(self, allowed: Iterable[str], headers: ReplyHeaders) -> None:
        self._lines = {origin.encode("ascii"): _lines(origin) for origin in allowed}
        self._answer = answer_of(204, headers.completed([*_PREFLIGHT]), b"")

    def __bool__(self) -> bool:
        return bool(self._lines)

    def lines(self, origin: bytes) -> bytes:
        """What the head of a reply says to a page of this origin; nothing to others."""
        return self._lines.get(origin, b"")

    def preflight(self, method: str, headers: Mapping[bytes, bytes]) -> Answer | None:
        """The answer to a browser that asks whether a page may send a request; None: it is none."""
        asks = method == "OPTIONS" and b"access-control-request-method" in headers
        return self._answer if asks and headers.get(b"origin") in self._lines else None


def foreign_page(headers: Mapping[bytes, bytes]) -> Refusal | None:
    """Why a request that is no read is refused: a page of another origin makes it.

    Old browsers send no Sec-Fetch-Site, nor do new ones over plain http. Then the host of Origin
    must be that of Host: a proxy may have ended TLS, so the scheme does not count. Programs send
    neither.
    """
    site = headers.get(b"sec-fetch-site", b"").decode("latin-1")
    origin = headers.get(b"origin", b"").decode("latin-1")
    if site:
        foreign = site not in _OWN
    else:
        foreign = bool(origin) and _host(origin) != _plain(headers.get(b"host", b""), origin)
    if not foreign:
        return None
    return Refusal(
        errors.FORBIDDEN,
        "A web page of another origin may not send this request: send it from a program.",
        [],
    )


def _lines(origin: str) -> bytes:
    text = f"access-control-allow-origin: {origin}\r\naccess-control-expose-headers: {_EXPOSED}\r\n"
    return text.encode("ascii")


def _host(origin: str) -> str | None:
    """The host and port of an origin; None for `null` and everything else that names none."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _plain(host: bytes, origin: str) -> str:
    """A Host as an origin writes it: without the port that the scheme has anyway."""
    usual = _USUAL_PORTS.get(origin.partition("://")[0], "")
    return host.decode("latin-1").strip().lower().removesuffix(usual)
