"""Sockets that read in large parts, and for a limited time after each command."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

import pytest

from app.db.cache.bounded import READS, BoundedSocket, BoundedSockets

SHORT = 0.01


@pytest.fixture
def pair() -> Iterator[tuple[BoundedSocket, socket.socket]]:
    """A bounded socket and its other side."""
    ours, other = socket.socketpair()
    with BoundedSocket(fileno=ours.detach()) as bounded, other:
        yield bounded, other


Pair = tuple[BoundedSocket, socket.socket]


def overdue(bounded: BoundedSocket) -> None:
    """Send a command and let all the time for its reply go by."""
    bounded.settimeout(SHORT)
    bounded.sendall(b"get key\r\n")
    ends = time.monotonic() + READS * SHORT
    while (left := ends - time.monotonic()) > 0:
        select.select([], [], [], left)


def test_nothing_more_is_waited_for_when_the_time_for_the_reply_is_over(pair: Pair) -> None:
    bounded, _ = pair
    overdue(bounded)
    with pytest.raises(TimeoutError):
        bounded.recv(100)
    # Not 0: that would make it a socket that never waits, and raises something else.
    assert bounded.gettimeout() == 0.001


def test_the_next_command_has_all_of_its_time_again(pair: Pair) -> None:
    bounded, other = pair
    overdue(bounded)
    bounded.settimeout(30.0)
    bounded.sendall(b"get key\r\n")
    other.sendall(b"END\r\n")
    assert bounded.recv(100) == b"END\r\n"
    assert bounded.gettimeout() == 30.0


def test_a_read_brings_more_than_was_asked_for_where_more_has_come(pair: Pair) -> None:
    bounded, other = pair
    bounded.settimeout(30.0)
    bounded.sendall(b"get key\r\n")
    other.sendall(b"x" * 50_000)
    assert bounded.recv(1, socket.MSG_PEEK) == b"x" * 50_000
    assert bounded.recv(1) == b"x" * 50_000


def test_the_module_of_them_is_socket_in_all_else() -> None:
    module = BoundedSockets("cache.example", 11211, socket.getaddrinfo)
    assert module.socket is BoundedSocket
    assert (module.AF_INET, module.create_connection) == (socket.AF_INET, socket.create_connection)
    with pytest.raises(AttributeError):
        _ = module.no_such_thing


def test_a_socket_without_a_time_out_waits_for_as_long_as_it_takes(pair: Pair) -> None:
    bounded, other = pair
    bounded.settimeout(None)
    bounded.sendall(b"get key\r\n")
    other.sendall(b"END\r\n")
    assert bounded.recv(100) == b"END\r\n"
