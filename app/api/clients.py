"""Who sends a request: the client's address, and the key under which it is counted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from app.core.setting_edge import Network

LOOPBACK: Final = "127.0.0.1"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_MOST: Final = 10_000
"""How many peers, and how many clients behind proxies, are remembered."""

_FORWARDED: Final = b"x-forwarded-for"
_LONGEST: Final = 64
"""Characters of the longest address with its port; anything longer is none."""


class Client(NamedTuple):
    """A client: its address as the log shows it, and its key.

    An IPv6 client has a whole /64 to itself, so that is its key. An IPv4 address is its own.
    """

    address: str
    key: str


class Clients:
    """The clients of requests, as the setting TRUSTED_PROXIES has them.

    Where the peer is a trusted proxy, the client is the last address of X-Forwarded-For that is no
    trusted proxy. Anybody can write what stands before that. An entry that is no address ends the
    walk, and the address after it counts. Of any other peer, the header is ignored.
    """

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self.direct: dict[str, Client] = {}
        """The clients among the last peers that are no trusted proxies, for a quick look."""
        self._behind: dict[tuple[str, bytes], Client] = {}

    def of(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> Client:
        """The client of a request that came from the address `peer` with these headers."""
        client = self.direct.get(peer)
        if client is not None:
            return client
        # Several lines of the header are one list, and a long one counts by its end: a proxy has
        # written that.
        lines = b",".join([value for name, value in headers if name == _FORWARDED])[-1_024:]
        client = self._behind.get((peer, lines))
        if client is not None:
            return client
        address = _address(peer)
        client = _client(address, peer)
        if self._trusts(address):
            client = self._walked(client, lines)
            _remember(self._behind, (peer, lines), client)
        else:
            _remember(self.direct, peer, client)
        return client

    def _walked(self, proxy: Client, lines: bytes) -> Client:
        """The client that the trusted proxy `proxy` names in the lines of X-Forwarded-For."""
        client = proxy
        for entry in reversed(lines.decode("latin-1").split(",")):
            address = _address(entry.strip())
            if address is None:
                break
            client = _client(address, str(address))
            if not self._trusts(address):
                break
        return client

    def _trusts(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def peer_of(scope: Any, send: Any) -> str:
    """The address of the connection's peer, where uvicorn may have changed `scope["client"]`.

    Its ProxyHeadersMiddleware writes a client there that stands in X-Forwarded-For, address and
    port, if the peer is loopback (or in FORWARDED_ALLOW_IPS). The connection itself knows better.
    It hangs on uvicorn's `send`. Where that is not so, the peer counts as loopback, which is a
    proxy only if TRUSTED_PROXIES says so.
    """
    if any(name == _FORWARDED for name, _ in scope["headers"]):
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        peer = None if transport is None else transport.get_extra_info("peername")
    else:
        peer = scope.get("client")
    return host_of(peer)


def host_of(peer: Any) -> str:
    """The address of a (host, port, …); the peer of a Unix socket, which has none, is loopback."""
    return peer[0] if isinstance(peer, list | tuple) and peer and peer[0] else LOOPBACK


def _address(text: str) -> _Address | None:
    """Read `192.0.2.7`, `2001:db8::7`, `[2001:db8::7]`, or one of them with a port.

    An IPv4 client of a socket for both families comes as `::ffff:192.0.2.7`: that is IPv4. None
    where it is no address.
    """
    if len(text) > _LONGEST:
        return None
    host, separator, port = text, "", ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        separator, port = rest[:1], rest[1:]
        if ":" not in host or separator not in ("", ":"):
            return None
    elif text.count(":") == 1:
        host, separator, port = text.partition(":")
    if separator and not (port.isascii() and port.isdigit()):
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def _client(address: _Address | None, written: str) -> Client:
    if address is None:  # such as the name that a test client has
        return Client(written, written)
    if isinstance(address, ipaddress.IPv4Address):
        return Client(str(address), str(address))
    return Client(written, f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64")


def _remember(memory: dict[Any, Any], key: Any, value: Any) -> None:
    if len(memory) >= _MOST:
        memory.clear()
    memory[key] = value
