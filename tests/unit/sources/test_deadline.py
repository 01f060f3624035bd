"""A deadline holds whatever the other side does, and leaves neither thread nor socket behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from app.sources.http import Expired, Hold, run_within

Sockets = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Sockets]:
    """Two connected sockets: ours and the silent other side's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(60.0)
    assert set(threading.enumerate()) <= before


def test_work_in_time_returns_its_value_and_its_connection_stays_its_own(ends: Sockets) -> None:
    ours, theirs = ends

    def work(hold: Hold) -> str:
        hold(ours)
        return "done"

    assert run_within(60.0, work) == "done"
    ours.send(b"still open")
    assert theirs.recv(20) == b"still open"
    ours.close()
    theirs.settimeout(60.0)
    assert theirs.recv(20) == b""  # nobody else holds the connection open


def test_an_error_of_the_work_is_raised_where_the_work_was_asked_for() -> None:
    def work(hold: Hold) -> None:
        raise LookupError("its own")

    with pytest.raises(LookupError, match="its own"):
        run_within(60.0, work)


def test_work_that_hangs_on_its_connection_is_woken_at_the_deadline(ends: Sockets) -> None:
    woken: list[bytes] = []

    def work(hold: Hold) -> None:
        hold(ends[0])
        woken.append(ends[0].recv(1))

    with pytest.raises(Expired, match=r"0\.2 s"):
        run_within(0.2, work)
    assert woken == [b""]


def test_work_that_hangs_before_it_has_a_connection_delays_nobody_and_gets_none(
    ends: Sockets,
) -> None:
    resolved = threading.Event()
    refused = threading.Event()

    def work(hold: Hold) -> None:
        resolved.wait(60.0)
        try:
            hold(ends[0])
        except Expired:
            refused.set()
            raise

    with pytest.raises(Expired):
        run_within(0.1, work)
    assert not refused.is_set()
    resolved.set()
    assert refused.wait(60.0)
