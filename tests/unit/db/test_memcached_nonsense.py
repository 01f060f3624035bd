"""A node that answers anything but what memcached answers: a miss, in time, and never an error."""

from __future__ import annotations

import socket

import pytest
import structlog

from app.db.cache.bounded_socket import LARGEST_ANSWER
from app.db.cache.memcached import MemcachedRing
from app.db.cache.signing import Signer
from tests.support.loopback import (
    Script,
    nothing_left_behind,
    reset_after,
    say_nothing,
    send,
    serving,
    trickle,
)

NAME = Signer(None).entry_name("key").encode()
VALUE = b"VALUE %s 0 3\r\nabc\r\n" % NAME


def endless(opening: bytes, again: bytes) -> Script:
    """Send the opening, then the same again and again until the other side closes."""

    def script(connection: socket.socket) -> None:
        connection.sendall(opening)
        while True:
            connection.sendall(again)

    return script


NONSENSE: dict[str, Script] = {
    "nothing and the end": send(),
    "silence": say_nothing,
    "a reset within the value": reset_after(b"VALUE %s 0 10\r\nabc" % NAME),
    "bytes": send(bytes(range(256)) * 10 + b"\r\n"),
    "a value of another key": send(b"VALUE other 0 3\r\nabc\r\nEND\r\n"),
    "a value of more than there is": send(b"VALUE %s 0 1000000000000\r\nabc\r\nEND\r\n" % NAME),
    "a value shorter than it says": send(b"VALUE %s 0 30\r\nabc\r\nEND\r\n" % NAME),
    "a key that is no text": send(b"VALUE \xff\xfe 0 3\r\nabc\r\nEND\r\n"),
    "a value twice": send(VALUE * 2 + b"END\r\n"),
    "a value of no length": send(b"VALUE %s 0 -1\r\nabc\r\nEND\r\n" % NAME),
}

LARGER = f"OSError: the answer has more than {LARGEST_ANSWER:,} bytes"
LONGER = "TimeoutError: the answer takes more than 0.5 s"
SILENT = "TimeoutError: timed out"
ENDLESS: dict[str, tuple[Script, str]] = {
    "a value": (endless(b"VALUE %s 0 10000000000\r\n" % NAME, b"x" * 65_536), LARGER),
    "a line": (endless(b"", b"x" * 65_536), LARGER),
    # On a busy machine the next byte may come too late for a single read.
    "a value, byte by byte": (trickle(b"VALUE %s 0 10000000000\r\n" % NAME, b"x"), SILENT),
    "a line, byte by byte": (trickle(b"", b"x"), SILENT),
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


@pytest.mark.parametrize("what", ENDLESS)
def test_what_never_ends_is_cut(what: str) -> None:
    script, reason = ENDLESS[what]
    with (
        nothing_left_behind(),
        serving(script) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = ring_of("127.0.0.1", host.port)
        assert ring.get("key") is None
        ring.close()
    assert [line["event"] for line in logged] == ["cache_broke"]
    # On a busy machine the host may not be quick enough with its nonsense.
    assert logged[0]["reason"] in (reason, LONGER, SILENT)


def test_the_log_has_little_of_what_a_node_says() -> None:
    with (
        serving(send(b"SERVER_ERROR " + b"x" * 100_000 + b"\r\n")) as host,
        structlog.testing.capture_logs() as logged,
    ):
        ring = ring_of("127.0.0.1", host.port)
        assert ring.get("key") is None
        ring.close()
    assert [len(line["reason"]) < 300 for line in logged] == [True]


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
