"""The stand-in's faults as bytes on a socket, and its control endpoint."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from app.sandbox.exchange import V4_PATH, Exchange
from app.sandbox.server import serve
from tests.support.faulty import NOW, market
from tests.support.loopback import nothing_left_behind

TARGET = f"{V4_PATH}/candles?symbol=BTC-BRL&resolution=1d&to={NOW}&countback=3"


@pytest.fixture
def exchange() -> Exchange:
    """An exchange whose clock stands still."""
    return Exchange(market(), clock=lambda: NOW)


@contextmanager
def connected(exchange: Exchange) -> Iterator[socket.socket]:
    """A connection that has asked for candles."""
    with nothing_left_behind(), serve(exchange) as url:
        parts = httpx.URL(url)
        with socket.create_connection((parts.host, parts.port or 0), timeout=60) as connection:
            connection.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            yield connection


def received(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def answered(exchange: Exchange, spec: str) -> tuple[bytes, bytes]:
    """Head and body of what is sent under a fault until the connection ends."""
    exchange.faults.add(spec)
    with connected(exchange) as connection:
        head, _, body = received(connection).partition(b"\r\n\r\n")
    return head, body


@pytest.fixture
def whole(exchange: Exchange) -> bytes:
    """The body of the undisturbed reply."""
    return exchange.answer(TARGET).body


def test_a_refused_connection_is_closed_without_a_word(exchange: Exchange) -> None:
    assert answered(exchange, "refuse") == (b"", b"")


@pytest.mark.parametrize("framing", ["length", "close"])
def test_a_cut_body_ends_where_it_was_told(exchange: Exchange, whole: bytes, framing: str) -> None:
    head, body = answered(exchange, f"cut,framing={framing},keep=9")
    assert (b"Content-Length: %d" % len(whole) in head) == (framing == "length")
    assert (b"Content-Length" in head) == (framing == "length")
    assert body == whole[:9]


@pytest.mark.parametrize("spec", ["cut", "hang=0.1,at=body"])
def test_half_of_the_body_is_sent_by_default(exchange: Exchange, whole: bytes, spec: str) -> None:
    assert answered(exchange, spec)[1] == whole[: len(whole) // 2]


@pytest.mark.parametrize("at", ["head", "body"])
def test_a_trickle_is_whole(exchange: Exchange, whole: bytes, at: str) -> None:
    head, body = answered(exchange, f"trickle=0.0001,at={at}")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in head
    assert body == whole


@pytest.mark.parametrize("spec", ["hang", "trickle=3600"])
def test_who_waits_ends_when_the_server_does(exchange: Exchange, spec: str) -> None:
    exchange.faults.add(spec)
    with connected(exchange) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            received(connection)


@pytest.mark.parametrize("framing", ["length", "close"])
def test_a_flood_is_as_long_as_it_was_told(exchange: Exchange, framing: str) -> None:
    head, body = answered(exchange, f"flood=3,framing={framing}")
    assert (b"Content-Length: " in head) == (framing == "length")
    assert 2_900_000 < len(body) < 3_010_000
    assert body.startswith(b'{"t":[')


def test_a_flood_may_be_a_header(exchange: Exchange) -> None:
    head, body = answered(exchange, "flood=2,at=head")
    assert len(head) > 1_900_000
    assert body == b""


def test_a_gzip_bomb_unpacks_to_what_it_was_told(exchange: Exchange) -> None:
    head, body = answered(exchange, "gzip-bomb=5")
    assert b"Content-Encoding: gzip" in head
    assert len(body) < 10_000
    assert len(gzip.decompress(body)) == 5_000_000


def test_a_client_that_leaves_a_flood_disturbs_nobody(
    exchange: Exchange, capfd: pytest.CaptureFixture[str]
) -> None:
    exchange.faults.add("flood=1000,times=1")
    with connected(exchange) as connection:
        assert connection.recv(1_000)
    assert capfd.readouterr() == ("", "")


def test_faults_are_set_listed_and_removed_while_it_serves(exchange: Exchange) -> None:
    with serve(exchange) as url, httpx.Client(base_url=url) as client:
        assert client.get(TARGET).status_code == 200
        made = client.post("/_sandbox/faults", json="status=503,times=2")
        assert (made.status_code, made.json()[0]["id"]) == (201, 1)
        assert [client.get(TARGET).status_code for _ in range(3)] == [503, 503, 200]
        (listed,) = client.get("/_sandbox/faults").json()
        assert listed == {
            "id": 1,
            "fault": "status=503,times=2",
            "seen": 2,
            "used": 2,
            "active": False,
        }
        assert client.post("/_sandbox/faults", content=b"\xff").status_code == 400
        assert client.delete("/_sandbox/faults").status_code == 204
        assert client.get("/_sandbox/faults?x=1").json() == []
    assert len(exchange.requests) == 4
