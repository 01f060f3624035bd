"""A ring of memcached nodes that can only make reads faster: whatever goes wrong is a miss.

The only door to pymemcache. Each node has its own pool of connections, because pymemcache's plain and
hashing clients must not be shared between threads. A key belongs to the node that ranks highest for it
(rendezvous hashing); while that node is broken, to the next in its ranking, so that a ring of n nodes
keeps (n - 1)/n of its entries when one dies, and all of them when it is back.

A node that fails once is left alone from that moment on: nobody waits for it. One background thread
asks it now and then whether it is back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Final

import structlog
from pymemcache.client.base import PooledClient
from pymemcache.exceptions import MemcacheError

CONNECT_SECONDS: Final = 0.1
ANSWER_SECONDS: Final = 0.2
PROBE_EVERY: Final = 2.0
IDLE_SECONDS: Final = 60
LARGEST_VALUE: Final = 1_000_000
"""Bytes; memcached refuses values over 1 MiB unless it is told otherwise."""

_TROUBLE: Final = (OSError, MemcacheError, EOFError, ValueError, RuntimeError)


class Node:
    """One memcached and whether it may be asked."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"{host}:{port}"
        self.broken = False
        self._client = PooledClient(
            (host, port),
            connect_timeout=CONNECT_SECONDS,
            timeout=ANSWER_SECONDS,
            no_delay=True,
            default_noreply=False,
            pool_idle_timeout=IDLE_SECONDS,
        )

    def get(self, key: str) -> bytes | None:
        """The value; raises what pymemcache and the network raise."""
        found: bytes | None = self._client.get(key)
        return found

    def set(self, key: str, value: bytes, ttl: int) -> None:
        """Store the value; raises likewise."""
        self._client.set(key, value, expire=ttl)

    def alive(self) -> bool:
        """Whether it answers now."""
        try:
            return bool(self._client.version())
        except _TROUBLE:
            return False

    def close(self) -> None:
        """Give the connections back."""
        with suppress(*_TROUBLE):
            self._client.close()


class MemcachedRing:
    """A Cache over one or several memcached nodes. Safe to share between threads."""

    def __init__(
        self,
        nodes: Sequence[tuple[str, int]],
        ttl: int,
        *,
        wait: Callable[[threading.Event, float], bool] = lambda event, s: event.wait(s),
    ) -> None:
        self._nodes = [Node(host, port) for host, port in nodes]
        self._ttl = ttl
        self._wait = wait
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._prober: threading.Thread | None = None

    def get(self, key: str) -> bytes | None:
        """The value stored under the key; None for a miss and for any trouble."""
        node = self._node(key)
        if node is None:
            return None
        try:
            return node.get(key)
        except _TROUBLE as error:
            self._broke(node, error)
            return None

    def set(self, key: str, value: bytes) -> None:
        """Store the value, if that is possible."""
        node = self._node(key)
        if node is None or len(value) > LARGEST_VALUE:
            return
        try:
            node.set(key, value, self._ttl)
        except _TROUBLE as error:
            self._broke(node, error)

    def healthy(self) -> bool:
        """Whether every node is in use."""
        return not any(node.broken for node in self._nodes)

    def close(self) -> None:
        """Stop probing and give the connections back."""
        self._closed.set()
        if self._prober is not None:
            self._prober.join()
        for node in self._nodes:
            node.close()

    def _node(self, key: str) -> Node | None:
        """The highest-ranking node of the key that is not broken."""
        usable = [node for node in self._nodes if not node.broken]
        if len(usable) <= 1:
            return usable[0] if usable else None
        return max(usable, key=lambda node: blake2b(f"{node.name} {key}".encode()).digest())

    def _broke(self, node: Node, error: Exception) -> None:
        """Leave the node alone, say so once, and have it watched."""
        with self._lock:
            if node.broken or self._closed.is_set():
                return
            node.broken = True
            structlog.get_logger().warning(
                "cache_broke", node=node.name, reason=f"{type(error).__name__}: {error}"
            )
            if self._prober is None or not self._prober.is_alive():
                self._prober = threading.Thread(target=self._watch, name="cache-probe", daemon=True)
                self._prober.start()

    def _watch(self) -> None:
        """Ask broken nodes whether they are back, until all are."""
        while not self._wait(self._closed, PROBE_EVERY):
            for node in self._nodes:
                if node.broken and node.alive():
                    node.broken = False
                    structlog.get_logger().info("cache_recovered", node=node.name)
            with self._lock:
                if self.healthy():
                    self._prober = None
                    return
