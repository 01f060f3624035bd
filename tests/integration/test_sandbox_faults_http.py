"""The stand-in's faults as bytes on a socket."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from app.sandbox.server import serve
from tests.support.exchange import CANDLES, T, ten_days
from tests.support.loopback import nothing_left_behind

TARGET = f"{CANDLES}&to={T}"
WHOLE = ten_days().answer(TARGET).body


@contextmanager
def connected(spec: str) -> Iterator[socket.socket]:
    """A connection that has asked for candles under a fault."""
    exchange = ten_days()
    exchange.faults.add(spec)
    with nothing_left_behind(), serve(exchange) as url:
        parts = httpx.URL(url)
        with socket.create_connection((parts.host, parts.port or 0), timeout=60) as connection:
            connection.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            yield connection


def received(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def answered(spec: str) -> tuple[bytes, bytes]:
    """Head and body of what is sent under a fault until the connection ends."""
    with connected(spec) as connection:
        head, _, body = received(connection).partition(b"\r\n\r\n")
    return head, body


def test_a_refused_connection_is_closed_without_a_word() -> None:
    assert answered("refuse") == (b"", b"")


@pytest.mark.parametrize("spec", ["cut", "cut,framing=close", "hang=0.1,at=body"])
def test_half_of_the_body_is_sent_of_a_length_that_was_told_or_not(spec: str) -> None:
    head, body = answered(spec)
    assert (b"Content-Length: %d" % len(WHOLE) in head) == ("close" not in spec)
    assert (b"Content-Length" in head) == ("close" not in spec)
    assert body == WHOLE[: len(WHOLE) // 2]


@pytest.mark.parametrize("at", ["head", "body"])
def test_a_trickle_is_whole(at: str) -> None:
    head, body = answered(f"trickle=0.0001,at={at}")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in head
    assert body == WHOLE


@pytest.mark.parametrize("spec", ["hang", "trickle=3600"])
def test_who_waits_ends_when_the_server_does(spec: str) -> None:
    with connected(spec) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            received(connection)


def test_a_flood_is_a_body_or_a_header_as_long_as_it_was_told() -> None:
    for framing in ("length", "close"):
        head, body = answered(f"flood=3,framing={framing}")
        assert (b"Content-Length: " in head) == (framing == "length")
        assert 2_900_000 < len(body) < 3_010_000
    head, body = answered("flood=2,at=head")
    assert len(head) > 1_900_000
    assert body == b""


def test_a_gzip_bomb_unpacks_to_what_it_was_told() -> None:
    head, body = answered("gzip-bomb=5")
    assert b"Content-Encoding: gzip" in head
    assert len(body) < 10_000
    assert len(gzip.decompress(body)) == 5_000_000


def test_a_client_that_leaves_a_flood_disturbs_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    with connected("flood=1000,times=1") as connection:
        assert connection.recv(1_000)
    assert capfd.readouterr() == ("", "")
