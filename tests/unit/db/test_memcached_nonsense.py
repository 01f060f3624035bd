"""A node that answers anything but what memcached answers: a miss, in time, and never an error."""

from __future__ import annotations

import socket
import threading
import time

import pytest
import structlog

from app.db.cache.bounded import READS
from app.db.cache.memcached import ANSWER_SECONDS, CONNECT_SECONDS, MemcachedRing
from tests.support.loopback import (
    Script,
    nothing_left_behind,
    reset_after,
    say_nothing,
    send,
    serving,
    trickle,
)

LONGEST = CONNECT_SECONDS + READS * ANSWER_SECONDS
"""Seconds after which any command must have ended."""
LEEWAY = 1.0

SLOW_LINE = "a line that does not end"
NONSENSE: dict[str, Script] = {
    "nothing and the end": send(),
    "silence": say_nothing,
    "a reset": reset_after(),
    "a reset within the value": reset_after(b"VALUE key 0 10\r\nabc"),
    "an empty line": send(b"\r\n"),
    "half a line": send(b"VALU"),
    "another protocol": send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    "bytes": send(bytes(range(256)) * 10 + b"\r\n"),
    "an unknown word": send(b"HELLO\r\nEND\r\n"),
    "an error": send(b"ERROR\r\n"),
    "a client error": send(b"CLIENT_ERROR bad data chunk\r\n"),
    "a value of another key": send(b"VALUE other 0 3\r\nabc\r\nEND\r\n"),
    "a value without a size": send(b"VALUE key 0\r\nabc\r\nEND\r\n"),
    "a value with a size that is no number": send(b"VALUE key 0 abc\r\nabc\r\nEND\r\n"),
    "a value of less than nothing": send(b"VALUE key 0 -1\r\nabc\r\nEND\r\n"),
    "a value of far less than nothing": send(b"VALUE key 0 -99999\r\nabc\r\nEND\r\n"),
    "a value of more than there is": send(b"VALUE key 0 1000000000000\r\nabc\r\nEND\r\n"),
    "a value with flags that are no number": send(b"VALUE key x 3\r\nabc\r\nEND\r\n"),
    "a value and then no end": send(b"VALUE key 0 3\r\nabc\r\n"),
    "a value shorter than it says": send(b"VALUE key 0 30\r\nabc\r\nEND\r\n"),
    "a key that is no text": send(b"VALUE \xff\xfe 0 3\r\nabc\r\nEND\r\n"),
    SLOW_LINE: trickle(b"", b"V"),
    "a value that comes byte by byte": trickle(b"VALUE key 0 1000\r\n", b"a"),
}


@pytest.mark.parametrize("said", [name for name in NONSENSE if name != SLOW_LINE])
def test_nonsense_is_a_miss_in_time_and_said_once(said: str) -> None:
    with (
        nothing_left_behind(),
        serving(NONSENSE[said]) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = MemcachedRing([("127.0.0.1", host.port)], 60, wait=lambda event, _: event.wait())
        started = time.monotonic()
        assert ring.get("key") is None
        assert time.monotonic() - started < LONGEST + LEEWAY
        assert not ring.healthy()
        # From now on nobody asks that node.
        assert [ring.get(f"key{number}") for number in range(100)] == [None] * 100
        ring.set("key", b"1")
        ring.close()
    assert len(host.requests) == 1
    assert [line["event"] for line in logged] == ["cache_broke"]
    assert logged[0]["node"] == f"127.0.0.1:{host.port}"
    assert logged[0]["reason"]


@pytest.mark.parametrize("said", [name for name in NONSENSE if "value" not in name])
def test_nonsense_in_return_for_a_value_is_swallowed(said: str) -> None:
    with (
        nothing_left_behind(),
        serving(NONSENSE[said]) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = MemcachedRing([("127.0.0.1", host.port)], 60, wait=lambda event, _: event.wait())
        started = time.monotonic()
        ring.set("key", b"1" * 100_000)
        assert time.monotonic() - started < LONGEST + LEEWAY
        assert not ring.healthy()
        ring.close()
    assert [line["event"] for line in logged] == ["cache_broke"]


def test_a_node_that_says_no_is_not_a_broken_node() -> None:
    no = send(b"SERVER_ERROR out of memory storing object\r\n")
    with (
        nothing_left_behind(),
        serving(no) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = MemcachedRing([("127.0.0.1", host.port)], 60)
        for _ in range(5):
            ring.set("key", b"1")
            assert ring.get("key") is None
        assert ring.healthy()
        ring.close()
    assert [(line["event"], line["reason"]) for line in logged] == [
        ("cache_refused", "MemcacheServerError: out of memory storing object")
    ]


def test_a_node_that_speaks_no_memcached_is_never_taken_for_recovered() -> None:
    probes = threading.Semaphore(0)
    rounds = 5

    def wait(event: threading.Event, seconds: float) -> bool:
        probes.release()
        return event.wait(0.005)

    with (
        serving(NONSENSE["another protocol"]) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = MemcachedRing([("127.0.0.1", host.port)], 60, wait=wait)
        ring.get("key")
        for _ in range(rounds):
            assert probes.acquire(timeout=10)
        assert not ring.healthy()
        ring.close()
    assert len(host.requests) >= rounds - 1
    assert [line["event"] for line in logged] == ["cache_broke"]


def test_a_port_where_nobody_listens_is_a_miss_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    with nothing_left_behind(), structlog.testing.capture_logs() as logged:
        ring = MemcachedRing([("127.0.0.1", port)], 60, wait=lambda event, _: event.wait())
        started = time.monotonic()
        assert ring.get("key") is None
        assert time.monotonic() - started < LEEWAY
        ring.close()
    assert [line["event"] for line in logged] == ["cache_broke"]


@pytest.mark.parametrize("name", ["bad..name", "a" * 300])
def test_a_name_that_is_none_is_a_miss(name: str) -> None:
    with nothing_left_behind(), structlog.testing.capture_logs() as logged:
        ring = MemcachedRing([(name, 11211)], 60, wait=lambda event, _: event.wait())
        assert ring.get("key") is None
        ring.close()
    assert [line["event"] for line in logged] == ["cache_broke"]
