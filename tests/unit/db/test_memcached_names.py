"""Names of nodes: who waits for the name service, and where a node is looked for that comes back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from app.db.cache.memcached import MemcachedRing
from tests.support.loopback import Host, Script, nothing_left_behind, send, serving
from tests.support.patience import until
from tests.unit.db.test_memcached_states import (
    MISS,
    PATIENCE,
    VERSION,
    at_once,
    never,
    probers,
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


def test_a_name_is_resolved_once_however_often_its_node_is_connected_to() -> None:
    scripts: list[Script] = [talk(MISS), talk(MISS)]
    with nothing_left_behind(), serving(*scripts) as host:
        names = answering(host)
        ring = ring_at(names)
        assert ring.get("one") is None
        # The connection is lost from the pool, as an idle one is after a while.
        ring._nodes[0]._client.client_pool.clear()
        assert ring.get("two") is None
        assert ring.healthy()
        ring.close()
    assert names.asked == [(NAME, 11211)]
    assert len(host.requests) == 2


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


def test_a_name_that_nobody_knows_is_a_broken_node_until_somebody_does() -> None:
    turns = threading.Semaphore(0)

    def wait(closed: threading.Event, _seconds: float) -> bool:
        assert turns.acquire(timeout=PATIENCE)
        return closed.is_set()

    with (
        nothing_left_behind(),
        serving(talk(VERSION)) as host,
        structlog.testing.capture_logs() as logged,
    ):
        names = answering()
        ring = ring_at(names, wait)
        assert ring.get("one") is None
        turns.release()
        until(lambda: len(names.asked) == 2)
        assert not ring.healthy()
        names.port = host.port
        turns.release()
        until(ring.healthy)
        until(lambda: not probers())
        ring.close()
    assert [line["event"] for line in logged] == ["cache_broke", "cache_recovered"]
    assert logged[0]["reason"].endswith("Name or service not known")


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


def test_a_node_is_found_where_it_was_while_the_name_service_is_away() -> None:
    with (
        nothing_left_behind(),
        serving(silent, talk(VERSION)) as host,
        structlog.testing.capture_logs(),
    ):
        names = answering(host)
        ring = ring_at(names, at_once)
        names.port = None
        assert ring.get("one") is None
        until(ring.healthy)
        ring.close()
    assert len(names.asked) == 2


@pytest.mark.parametrize("port", [None, 1])
def test_a_ring_can_be_closed_while_a_name_is_being_resolved(port: int | None) -> None:
    with serving(send()) as host, structlog.testing.capture_logs() as logged:
        names = answering(host)
        ring = ring_at(names, at_once)
        names.answers.clear()
        names.port = port
        assert ring.get("one") is None
        until(lambda: len(names.asked) == 2)
        ring.close()
        assert len(probers()) == 1
        names.answers.set()
        until(lambda: not probers())
    # Nobody connects to anything any more, wherever the name leads.
    assert len(host.requests) == 1
    assert [line["event"] for line in logged] == ["cache_broke"]
