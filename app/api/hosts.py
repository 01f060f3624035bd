"""Which names of the API a request may ask for in its Host (the setting ALLOWED_HOSTS)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from app.core.setting_edge import ANY_HOST

_MOST: Final = 1_000
_LONGEST: Final = 300
"""Bytes of the longest Host that is judged: a name of 253 characters, and a port."""

_LOCAL: Final = "localhost"


class Hosts:
    """The names under which the API is asked for: `allowed`, or `*` for any.

    Where none are set, they are `localhost`, all names below it, and the names among `listening`,
    the addresses of the setting HOST. An address always passes: a page of another site can lead a
    browser here only under a name (DNS rebinding).
    """

    def __init__(self, allowed: Iterable[str], listening: str) -> None:
        names = set(allowed)
        self._below_localhost = not names
        self._names = names or {_LOCAL, *map(_plain, listening.split(","))}
        self.allowed: set[bytes] = set()
        """Values that were asked for and may pass, for a quick look."""

    def allow(self, host: bytes) -> bool:
        """Whether a request with this Host may pass."""
        if host in self.allowed:
            return True
        if not self._judge(host):
            return False
        if len(self.allowed) >= _MOST:
            self.allowed.clear()
        if len(host) <= _LONGEST:
            self.allowed.add(host)
        return True

    def _judge(self, host: bytes) -> bool:
        if ANY_HOST in self._names:
            return True
        return len(host) <= _LONGEST and self._allows(host.decode("latin-1").strip())

    def _allows(self, host: str) -> bool:
        if not host:  # as without a Host: no name, so none that was misdirected
            return True
        if host.startswith("["):
            address, bracket, port = host[1:].partition("]")
            return bool(bracket) and _is_port(port) and _is_address(ipaddress.IPv6Address, address)
        name, separator, port = host.partition(":")
        if not _is_port(separator + port):
            return False
        if _is_address(ipaddress.IPv4Address, name):
            return True
        name = _plain(name)
        return name in self._names or (self._below_localhost and name.endswith(f".{_LOCAL}"))


def _plain(name: str) -> str:
    return name.strip().lower().removesuffix(".")


def _is_port(text: str) -> bool:
    """Whether this is what may follow a host: nothing, or a colon and digits."""
    return not text or (text[0] == ":" and text[1:].isascii() and (text[1:] + "0").isdigit())


def _is_address(kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
