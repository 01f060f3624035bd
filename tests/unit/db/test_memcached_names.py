"""Names of nodes: who waits for the name service, and where a node is looked for that comes back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.db.cache.memcached import MemcachedRing
from tests.support.loopback import Host, nothing_left_behind, serving
from tests.support.patience import until
from tests.unit.db.test_memcached_states import (
    MISS,
    PATIENCE,
    VERSION,
    at_once,
    never,
    said,
    talk,
)

NAME = "cache.example"


@dataclass
class Names:
    """A name service of one name. It may know no address, and it may keep whoever asks waiting."""

    port: int | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)

    def __call__(self, host: str, port: int, family: int, kind: int) -> list[Any]:
        self.asked.append((host, port))
        assert self.answers.wait(PATIENCE)
        if self.port is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return socket.getaddrinfo("127.0.0.1", self.port, family, kind)


def ring_at(names: Names, wait: Callable[[threading.Event, float], bool] = never) -> MemcachedRing:
    return MemcachedRing([(NAME, 11211)], 60, wait=wait, resolve=names)


def answering(host: Host | None = None) -> Names:
    names = Names(host.port if host else None)
    names.answers.set()
    return names


def silent(connection: socket.socket) -> None:
    """Close without a word."""


def test_nobody_waits_for_a_name_service_that_hangs_but_the_start_and_not_for_long() -> None:
    with (
        nothing_left_behind(),
        serving(talk(VERSION, MISS)) as host,
        structlog.testing.capture_logs() as logged,
    ):
        names = Names(host.port)
        ring = ring_at(names, at_once)
        # What waits for the name is a thread of the ring's: all this returns while it hangs.
        for key in ("one", "two", "three"):
            assert ring.get(key) is None
            ring.set(key, b"1")
        assert not ring.healthy()
        names.answers.set()
        until(ring.healthy)
        assert ring.get("four") is None
        assert ring.healthy()
        ring.close()
    assert said(logged) == [
        ("warning", "cache_broke", f"{NAME}:11211"),
        ("info", "cache_recovered", f"{NAME}:11211"),
    ]
    assert logged[0]["reason"].endswith("its name has not been resolved yet")


def test_a_node_that_comes_back_at_another_address_is_found_there() -> None:
    with (
        nothing_left_behind(),
        serving(silent) as before,
        serving(talk(VERSION, MISS)) as after,
        structlog.testing.capture_logs(),
    ):
        names = answering(before)
        ring = ring_at(names, at_once)
        names.port = after.port
        assert ring.get("one") is None
        until(ring.healthy)
        assert ring.get("two") is None
        assert ring.healthy()
        ring.close()
    assert (len(before.requests), after.requests) == (1, [b"version\r\n"])
