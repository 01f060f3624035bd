"""A reply that has begun is delivered whole, even when its process is killed the moment after."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.core.market import DAY
from tests.support.history import History
from tests.support.processes import DEADLINE
from tests.support.served import Served, api


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """A database with 800 days."""
    with closing(History(f"sqlite:///{tmp_path / 'mms.db'}", days=800)) as made:
        yield made


def begun(served: Served, target: str) -> socket.socket:
    """A connection on which a reply has begun to arrive; only a little of it is read."""
    client = socket.socket()
    client.settimeout(DEADLINE)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    # As across an Ethernet: on loopback a system takes far more at once.
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1_460)
    client.connect(("127.0.0.1", served.port))
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert client.recv(1, socket.MSG_PEEK)
    return client


def rest(client: socket.socket) -> tuple[int, bytes]:
    """The length that the reply says it has, and the body that came."""
    reply = b""
    while part := client.recv(65_536):
        reply += part
    head, _, body = reply.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lengths[0].split(b":")[1]), body


def test_a_reply_that_has_begun_outlives_its_process(history: History, tmp_path: Path) -> None:
    first = history.last - 799 * DAY
    target = f"/BRLBTC/candles?windows=20,50,200&from={first}&to={history.last}"
    with (
        api(tmp_path, "api", ALLOWED_PAIRS="BRLBTC") as served,
        closing(begun(served, target)) as it,
    ):
        served.kill()
        # What the system holds of it is all that there is now.
        length, body = rest(it)
    assert length > 100_000
    assert len(body) == length
