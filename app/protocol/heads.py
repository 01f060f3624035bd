"""What is wrong with the head of a request, by RFC 9112 and by our limits.

llhttp, uvicorn's parser, has judged the syntax before. What it lets pass and the RFC does not is
judged here: two readers of one request that understand it differently are how requests are
smuggled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from app.api import errors
from app.protocol.limits import Limits

Header = tuple[bytes, bytes]
"""A lower-case name and its value."""

METHODS: Final = "GET, HEAD, POST"
"""The methods that the API knows."""

# RFC 3986, 3.2.2 and 3.2.3, without what http does not allow (a user, no host), and without the
# comma: some readers join repeated headers with it.
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?"
)
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://(?P<authority>[^/?]*)(?P<rest>.*)", re.DOTALL)
_SEPARATORS: Final = len(": \r\n")
_LONGEST_TARGET: Final = 65_535
"""Bytes of the longest address that uvicorn's parser reads."""

_KEPT_HOSTS: Final = 256


class Refused(Exception):
    """A request that is refused before the application sees it. It is the connection's last one.

    `headers` are more headers of the reply.
    """

    def __init__(self, answer: errors.Answer, detail: str, headers: Sequence[Header] = ()) -> None:
        super().__init__(detail)
        self.answer = answer
        self.detail = detail
        self.headers = headers


def judge(
    method: bytes, target: bytes, version: str, headers: list[Header], limits: Limits
) -> tuple[bytes, bool]:
    """Return the target in origin form, and whether a body follows. Raises Refused.

    The host of an absolute target takes the place of the header Host (RFC 9112, 3.2.2).
    """
    if len(target) > _LONGEST_TARGET:
        raise too_large(f"has an address of more than {_LONGEST_TARGET:,} bytes; no more are read")
    if len(headers) > limits.headers:
        raise too_large(f"has {len(headers)} headers; at most {limits.headers} are read")
    if version not in ("1.1", "1.0"):
        raise malformed(f"HTTP/{version} is not spoken here: use HTTP/1.1")
    if method == b"CONNECT":
        refusal = errors.of_status(405)
        allow = (b"allow", METHODS.encode("ascii"))
        raise Refused(
            refusal, f"CONNECT is not possible: this is no proxy. Allowed: {METHODS}.", [allow]
        )
    fields = dict(headers)
    if len(fields) != len(headers):
        _once(headers)
    host = fields.get(b"host")
    if host is None and version == "1.1":
        raise malformed("the header Host is missing")
    if target[:1] != b"/":
        target, host = _origin(method, target, headers, host)
    if host is not None and not _is_host(host):
        raise malformed(
            "the header Host is no host: write a name or an address, and a port or none"
        )
    if b"#" in target:
        raise malformed("the address holds a #, which no request has: write %23")
    return target, _body_follows(version, fields, limits)


def malformed(problem: str) -> Refused:
    """The refusal of a request that is no valid HTTP."""
    return Refused(errors.MALFORMED, f"The request cannot be read: {problem}.")


def too_large(problem: str) -> Refused:
    """The refusal of a head that is too large."""
    return Refused(errors.HEADER_TOO_LARGE, f"The request {problem}.")


def body_too_large(limits: Limits) -> Refused:
    """The refusal of a body that is too large."""
    most = f"{limits.body_bytes:,}"
    return Refused(
        errors.TOO_LARGE, f"The request's body is too large: at most {most} bytes are read."
    )


def size(target: bytes, headers: list[Header]) -> int:
    """The bytes of a head, without the method and the version."""
    return len(target) + sum(len(name) + len(value) + _SEPARATORS for name, value in headers)


def _once(headers: list[Header]) -> None:
    """Refuse a repeated header by which a request is routed or its end is found."""
    names = [name for name, _ in headers]
    for name in (b"host", b"content-length", b"transfer-encoding"):
        if names.count(name) > 1:
            raise malformed(f"it has the header {name.decode().title()} more than once")


def _origin(
    method: bytes, target: bytes, headers: list[Header], host: bytes | None
) -> tuple[bytes, bytes | None]:
    """The target in origin form and its host; `headers` then have that host."""
    if target == b"*" and method == b"OPTIONS":
        return target, host
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise malformed("its address begins neither with / nor with http:// or https://")
    authority, rest = match["authority"], match["rest"]
    if host is None:
        headers.append((b"host", authority))
    else:
        headers[:] = [(name, authority if name == b"host" else value) for name, value in headers]
    return (rest if rest.startswith(b"/") else b"/" + rest), authority


@lru_cache(maxsize=_KEPT_HOSTS)
def _is_host(value: bytes) -> bool:
    # llhttp leaves the spaces behind a value.
    return _HOST.fullmatch(value.strip(b" \t")) is not None


def _body_follows(version: str, fields: dict[bytes, bytes], limits: Limits) -> bool:
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if version == "1.0":
            raise malformed("HTTP/1.0 has no Transfer-Encoding")
        if coding.strip().lower() != b"chunked":
            raise malformed("its Transfer-Encoding is not chunked, the only one that is read")
        return True
    length = fields.get(b"content-length")
    if length is None:
        return False
    count = int(length)
    if count > limits.body_bytes:
        raise body_too_large(limits)
    return count > 0
