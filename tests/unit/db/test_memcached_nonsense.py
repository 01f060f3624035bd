"""A node that answers anything but what memcached answers: a miss, in time, and never an error."""

from __future__ import annotations

import socket

import pytest
import structlog

from app.db.cache.memcached import MemcachedRing
from tests.support.loopback import (
    Script,
    nothing_left_behind,
    reset_after,
    say_nothing,
    send,
    serving,
)

NONSENSE: dict[str, Script] = {
    "nothing and the end": send(),
    "silence": say_nothing,
    "a reset within the value": reset_after(b"VALUE key 0 10\r\nabc"),
    "bytes": send(bytes(range(256)) * 10 + b"\r\n"),
    "a value of another key": send(b"VALUE other 0 3\r\nabc\r\nEND\r\n"),
    "a value of more than there is": send(b"VALUE key 0 1000000000000\r\nabc\r\nEND\r\n"),
    "a value shorter than it says": send(b"VALUE key 0 30\r\nabc\r\nEND\r\n"),
    "a key that is no text": send(b"VALUE \xff\xfe 0 3\r\nabc\r\nEND\r\n"),
}


def ring_of(host: str, port: int) -> MemcachedRing:
    """A ring of one node that is never asked whether it is back."""
    return MemcachedRing([(host, port)], 60, wait=lambda event, _: event.wait())


@pytest.mark.parametrize("said", NONSENSE)
def test_nonsense_is_a_miss_and_said_once(said: str) -> None:
    with (
        nothing_left_behind(),
        serving(NONSENSE[said]) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = ring_of("127.0.0.1", host.port)
        assert ring.get("key") is None
        assert not ring.healthy()
        # From now on nobody asks that node.
        assert [ring.get(f"key{number}") for number in range(100)] == [None] * 100
        ring.set("key", b"1")
        ring.close()
    assert len(host.requests) == 1
    assert [line["event"] for line in logged] == ["cache_broke"]
    assert logged[0]["node"] == f"127.0.0.1:{host.port}"
    assert logged[0]["reason"]


def test_nonsense_in_return_for_a_value_is_swallowed() -> None:
    with nothing_left_behind(), serving(NONSENSE["bytes"]) as host:
        ring = ring_of("127.0.0.1", host.port)
        ring.set("key", b"1" * 100_000)
        assert not ring.healthy()
        ring.close()


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
    assert [line["event"] for line in logged] == ["cache_refused"]
    assert "out of memory storing object" in logged[0]["reason"]


@pytest.mark.parametrize("host", ["127.0.0.1", "bad..name"])
def test_where_nobody_listens_is_a_miss(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    with nothing_left_behind(), structlog.testing.capture_logs() as logged:
        ring = ring_of(host, port)
        assert ring.get("key") is None
        ring.close()
    assert [line["event"] for line in logged] == ["cache_broke"]
