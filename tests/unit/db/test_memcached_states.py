"""When a node is left alone, who watches it, and when it is used again: each turn by script."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog

from app.db.cache.memcached import PROBE_EVERY, MemcachedRing
from app.db.cache.signing import Signer
from tests.support.loopback import Script, nothing_left_behind, send, serving
from tests.support.patience import until

MISS = b"END\r\n"
VERSION = b"VERSION 1.6.18\r\n"
PATIENCE = 60.0


def at_once(closed: threading.Event, _seconds: float) -> bool:
    """Do not wait between two probes."""
    return closed.is_set()


def never(closed: threading.Event, _seconds: float) -> bool:
    """Wait for the end: nothing is probed."""
    return closed.wait()


def talk(*answers: bytes) -> Script:
    """Answer one command after the other, then wait until the other side closes the connection."""

    def script(connection: socket.socket) -> None:
        connection.sendall(answers[0])
        for answer in answers[1:]:
            connection.recv(65_536)
            connection.sendall(answer)
        assert connection.recv(65_536) == b""

    return script


def together(barrier: threading.Barrier, then: Script) -> Script:
    """Go on once so many connections have been asked something."""

    def script(connection: socket.socket) -> None:
        barrier.wait(PATIENCE)
        then(connection)

    return script


def ends_at_the_second(connection: socket.socket) -> None:
    """Answer one command and close at the next."""
    connection.sendall(MISS)
    connection.recv(65_536)


def probers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "cache-probe"]


def said(logged: list[structlog.typing.EventDict]) -> list[tuple[str, str, str]]:
    return [(line["log_level"], line["event"], line["node"]) for line in logged]


def test_a_node_that_is_back_is_asked_over_a_new_connection_and_used_again() -> None:
    both = threading.Barrier(2)
    waited: list[float] = []

    def wait(closed: threading.Event, seconds: float) -> bool:
        waited.append(seconds)
        return closed.is_set()

    # Two connections lie idle when the first of them fails: the other is as dead, and not tried.
    host_of_two = together(both, ends_at_the_second)
    with (
        nothing_left_behind(),
        serving(host_of_two, host_of_two, talk(VERSION, MISS)) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = MemcachedRing([("127.0.0.1", host.port)], 60, wait=wait)
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(ring.get, ["one", "two"])) == [None, None]
        assert ring.healthy()
        assert ring.get("three") is None
        until(ring.healthy)
        until(lambda: not probers())
        assert ring.get("four") is None
        assert ring.healthy()
        ring.close()
    assert host.requests[2:] == [b"version\r\n"]
    assert waited == [PROBE_EVERY]
    name = f"127.0.0.1:{host.port}"
    assert said(logged) == [
        ("warning", "cache_broke", name),
        ("info", "cache_recovered", name),
    ]


def test_several_that_find_a_node_dead_at_the_same_time_say_so_once() -> None:
    callers = 5
    all_of_them = threading.Barrier(callers)
    with (
        nothing_left_behind(),
        serving(together(all_of_them, send())) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = MemcachedRing([("127.0.0.1", host.port)], 60, wait=never)
        with ThreadPoolExecutor(callers) as pool:
            assert list(pool.map(ring.get, "abcde")) == [None] * callers
        assert len(probers()) == 1
        ring.close()
    assert said(logged) == [("warning", "cache_broke", f"127.0.0.1:{host.port}")]


def test_a_ring_that_was_closed_watches_nobody() -> None:
    with (
        nothing_left_behind(),
        serving(send()) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = MemcachedRing([("127.0.0.1", host.port)], 60, wait=at_once)
        ring.close()
        assert ring.get("key") is None
        assert probers() == []
    assert len(host.requests) == 1
    assert logged == []


def test_a_node_is_used_again_while_another_is_still_watched() -> None:
    turns = threading.Semaphore(0)

    def wait(closed: threading.Event, _seconds: float) -> bool:
        assert turns.acquire(timeout=PATIENCE)
        return closed.is_set()

    with (
        nothing_left_behind(),
        serving(send(), talk(VERSION)) as quick,
        serving(send(), send(), send(b"VERSION \r\n"), send(b"ERROR\r\n"), talk(VERSION)) as slow,
        structlog.testing.capture_logs() as logged,
    ):
        names = [f"127.0.0.1:{quick.port}", f"127.0.0.1:{slow.port}"]
        ring = MemcachedRing([("127.0.0.1", quick.port), ("127.0.0.1", slow.port)], 60, wait=wait)
        for key in ("a", "b"):
            assert ring.get(key) is None
        assert len(said(logged)) == 2
        turns.release()
        until(lambda: len(logged) == 3)
        assert said(logged)[2:] == [("info", "cache_recovered", names[0])]
        # The other has closed, had no version, and said ERROR: it is watched on.
        for number in range(2):
            turns.release()
            until(lambda number=number: len(slow.requests) == 3 + number)  # type: ignore[misc] # a default in a lambda
            assert not ring.healthy()
        turns.release()
        until(ring.healthy)
        until(lambda: not probers())
        ring.close()
    assert said(logged)[3:] == [("info", "cache_recovered", names[1])]
    assert len(quick.requests) == 2


def test_a_value_is_stored_signed_for_as_long_as_the_ring_says() -> None:
    with nothing_left_behind(), serving(talk(b"STORED\r\n")) as host:
        ring = MemcachedRing([("127.0.0.1", host.port)], 77, b"a secret", wait=never)
        ring.set("key", b"123")
        ring.close()
    signer = Signer(b"a secret")
    name = signer.entry_name("key")
    assert host.requests == [
        b"set %s 0 77 19\r\n%s\r\n" % (name.encode(), signer.signed(name, b"123"))
    ]


def test_a_count_that_another_has_begun_meanwhile_is_added_to() -> None:
    script = talk(b"NOT_FOUND\r\n", b"NOT_STORED\r\n", b"8\r\n")
    with nothing_left_behind(), serving(script) as host:
        ring = MemcachedRing([("127.0.0.1", host.port)], 60, wait=never)
        assert ring.count("key", 2, 5, 120) == 8
        ring.close()


@pytest.mark.parametrize("count", [b"-1", b"0", b"1", b"9223372036854775808", b"1" * 4_000])
def test_a_count_that_cannot_be_one_is_refused_and_the_node_stays_in_use(count: bytes) -> None:
    script = talk(count + b"\r\n", b"7\r\n", b"9223372036854775807\r\n", MISS)
    with (
        nothing_left_behind(),
        serving(script) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = MemcachedRing([("127.0.0.1", host.port)], 60, wait=never)
        counts = [ring.count("key", 2, 5, 120) for _ in range(3)]
        assert counts == [None, 7, 2**63 - 1]
        assert ring.get("key") is None
        assert ring.healthy()
        ring.close()
    assert said(logged) == [("warning", "cache_entry_refused", f"127.0.0.1:{host.port}")]


def test_nothing_is_counted_at_a_node_that_is_left_alone() -> None:
    with nothing_left_behind(), serving(send()) as host:
        ring = MemcachedRing([("127.0.0.1", host.port)], 60, wait=never)
        assert [ring.count("key", 1, 1, 120) for _ in range(2)] == [None, None]
        ring.close()
    assert len(host.requests) == 1
