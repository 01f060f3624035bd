"""A ring of memcached nodes as a cache and for shared counts: every error is a miss.

Only this module uses pymemcache. Each node has its own connection pool, because pymemcache's plain
and hashing clients are not thread-safe. Rendezvous hashing picks the node of a key. While that node
is broken, the next in the key's ranking takes over. So a ring of n nodes keeps (n - 1)/n of its
entries when one dies, and has all of them again when it is back.

The first failure takes a node out of use, so that no request waits for it. One background thread
probes it until it is back. A node that refuses to store a value stays in use; the refusal is logged
once. So is an entry that is not ours (`signing`), or a count that cannot be one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final

from pymemcache.client.base import Client, PooledClient
from pymemcache.exceptions import (
    MemcacheClientError,
    MemcacheError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownCommandError,
)

from app.core.logging import structlog
from app.core.seldom import Seldom
from app.db.cache.bounded_socket import SOCKETS
from app.db.cache.signing import Signer

CONNECT_SECONDS: Final = 0.1
ANSWER_SECONDS: Final = 0.15
PROBE_EVERY: Final = 2.0
CLOSE_SECONDS: Final = 2.0
"""How long `close` waits for the probe thread, which may be resolving a host name."""

IDLE_SECONDS: Final = 60
LARGEST_VALUE: Final = 1_000_000
"""Bytes; memcached refuses values over 1 MiB by default."""

LARGEST_COUNT: Final = 2**63
"""Counts from here on are nobody's requests."""

_LONGEST_REASON: Final = 200
"""Characters of a log line that may be the node's own words."""

# On replies that are not memcached's, pymemcache raises whatever its parser stumbles over.
_TROUBLE: Final = (OSError, MemcacheError, EOFError, ValueError, LookupError, RuntimeError)

# What a node says that works: no memory, or an entry that is no number and cannot be added to.
_REFUSALS: Final = (MemcacheServerError, MemcacheClientError)
_NO_REFUSALS: Final = (MemcacheUnexpectedCloseError, MemcacheUnknownCommandError)


class _OneValue(Client):  # type: ignore[misc] # pymemcache has no types
    """A client whose `get` takes one value; further ones are an error, however many arrive.

    pymemcache calls the method for each value, and takes a name that is not in `remapped_keys` for
    one that was not asked for. It is pymemcache's own, so a test sends a value twice.
    """

    def _extract_value(
        self, expect_cas: bool, line: bytes, buf: bytes, remapped_keys: dict[bytes, str], *rest: Any
    ) -> Any:
        extracted = super()._extract_value(expect_cas, line, buf, remapped_keys, *rest)
        remapped_keys.clear()
        return extracted


class _Pool(PooledClient):  # type: ignore[misc] # likewise
    client_class = _OneValue


class Node:
    """One memcached server, and whether it is in use."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"{host}:{port}"
        self.broken = False
        self.refused = False
        self._client = _Pool(
            (host, port),
            connect_timeout=CONNECT_SECONDS,
            timeout=ANSWER_SECONDS,
            no_delay=True,
            default_noreply=False,
            pool_idle_timeout=IDLE_SECONDS,
            socket_module=SOCKETS,
        )

    def get(self, name: str) -> bytes | None:
        """The value; raises what pymemcache and the network raise."""
        value: bytes | None = self._client.get(name)
        return value

    def set(self, name: str, value: bytes, ttl: int) -> None:
        """Store the value; raises likewise."""
        self._client.set(name, value, expire=ttl)

    def count(self, name: str, by: int, whole: int, ttl: int) -> int:
        """Add to a count; raises likewise."""
        total = self._client.incr(name, by)
        if total is None:
            if self._client.add(name, str(whole).encode(), expire=ttl):
                return whole
            # Another process was faster.
            total = self._client.incr(name, whole)
        return whole if total is None else total

    def alive(self) -> bool:
        """Whether the server answers now, over a new connection."""
        # Idle connections date from before the failure and are most likely dead as well.
        pool = self._client.client_pool
        while pool.free:
            pool.destroy(pool.get())
        try:
            return bool(self._client.version())
        except _TROUBLE:
            return False

    def close(self) -> None:
        """Close the connections."""
        with suppress(*_TROUBLE):
            self._client.close()


class MemcachedRing:
    """A Cache and SharedCounts over memcached nodes. Safe to share between threads.

    `secret` tells the entries of one installation from all others; see Signer.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[str, int]],
        ttl: int,
        secret: bytes | None = None,
        *,
        wait: Callable[[threading.Event, float], bool] = lambda event, s: event.wait(s),
    ) -> None:
        self._nodes = [Node(host, port) for host, port in nodes]
        self._ttl = ttl
        self._signer = Signer(secret)
        self._refusals = Seldom()
        self._wait = wait
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._prober: threading.Thread | None = None

    def get(self, key: str) -> memoryview | None:
        """The value stored under the key; None for a miss, for any error, and if it is not ours."""
        name = self._signer.entry_name(key)
        node = self._node(name)
        if node is None:
            return None
        try:
            signed = node.get(name)
        except _TROUBLE as error:
            self._failed(node, error)
            return None
        if signed is None:
            return None
        value = self._signer.verified(name, signed)
        if value is None:
            self._refuse_entry(node)
        return value

    def set(self, key: str, value: bytes) -> None:
        """Store the value if possible."""
        name = self._signer.entry_name(key)
        node = self._node(name)
        if node is None or len(value) > LARGEST_VALUE:
            return
        try:
            node.set(name, self._signer.signed(name, value), self._ttl)
        except _TROUBLE as error:
            self._failed(node, error)

    def count(self, key: str, by: int, whole: int, ttl: int) -> int | None:
        """Add to a count that processes share; see SharedCounts. None for any error."""
        name = self._signer.count_name(key)
        node = self._node(name)
        if node is None:
            return None
        try:
            total = node.count(name, by, whole, ttl)
        except _TROUBLE as error:
            self._failed(node, error)
            return None
        if by <= total < LARGEST_COUNT:
            return total
        self._refuse_entry(node)
        return None

    def healthy(self) -> bool:
        """Whether every node is in use."""
        return not any(node.broken for node in self._nodes)

    def close(self) -> None:
        """Stop probing and close the connections."""
        self._closed.set()
        prober = self._prober
        if prober is not None:
            prober.join(CLOSE_SECONDS)
        for node in self._nodes:
            node.close()

    def _node(self, name: str) -> Node | None:
        """The highest-ranking usable node for the name; None where all are broken."""
        usable = [node for node in self._nodes if not node.broken]
        if len(usable) <= 1:
            return usable[0] if usable else None
        return max(usable, key=lambda node: blake2b(f"{node.name} {name}".encode()).digest())

    def _failed(self, node: Node, error: Exception) -> None:
        """Log a refusal once; take a node that does not answer out of use."""
        if not isinstance(error, _REFUSALS) or isinstance(error, _NO_REFUSALS):
            self._broke(node, error)
            return
        with self._lock:
            if node.refused:
                return
            node.refused = True
        structlog.get_logger().warning("cache_refused", node=node.name, reason=_reason(error))

    def _refuse_entry(self, node: Node) -> None:
        """Log that an entry is not ours; the node stays in use, since one entry says little."""
        times = self._refusals.due(node.name)
        if times is not None:
            log = structlog.get_logger()
            log.warning("cache_entry_refused", node=node.name, times=times)

    def _broke(self, node: Node, error: Exception) -> None:
        """Take the node out of use, log it once, and start the probe."""
        with self._lock:
            if node.broken or self._closed.is_set():
                return
            node.broken = True
            structlog.get_logger().warning("cache_broke", node=node.name, reason=_reason(error))
            if self._prober is None or not self._prober.is_alive():
                self._prober = threading.Thread(target=self._watch, name="cache-probe", daemon=True)
                self._prober.start()

    def _watch(self) -> None:
        """Probe broken nodes until all are back."""
        while not self._wait(self._closed, PROBE_EVERY):
            for node in filter(lambda node: node.broken, self._nodes):
                if not self._closed.is_set() and node.alive():
                    node.broken = False
                    structlog.get_logger().info("cache_recovered", node=node.name)
            with self._lock:
                if self.healthy():
                    self._prober = None
                    return
        for node in self._nodes:  # `close` may have given up waiting for this thread
            node.close()


def _reason(error: Exception) -> str:
    """The error as text, cut: pymemcache passes on bytes, or nothing at all."""
    detail = error.args[0] if error.args else ""
    text = detail.decode("ascii", "replace") if isinstance(detail, bytes) else str(error)
    text = text[:_LONGEST_REASON]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
