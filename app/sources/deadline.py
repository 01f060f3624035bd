"""A deadline for a whole exchange over a socket, however slowly its bytes come.

A socket's own time-out bounds one operation, so a host that sends one byte a second keeps an exchange
alive for ever. Here the exchange runs in a thread of its own. At the deadline its caller shuts the
connection down, which wakes and ends the thread, and goes on. Where there is no connection yet, as
while a name is being resolved, nothing can be woken: the caller goes on all the same, and the thread
ends as soon as it has a connection.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Final, TypeVar

from app.core import waits

_T = TypeVar("_T")

Hold = Callable[[socket.socket], None]
"""To be called with a connection as soon as it stands. Raises Expired where it came too late."""

_LAST_MOMENT: Final = 1.0
"""Seconds for a thread to end once its connection is shut down; it takes a millisecond."""


class Expired(Exception):
    """The deadline passed before the work was done."""


def run_within(limit: float, work: Callable[[Hold], _T]) -> _T:
    """Return what `work` returns, or raise what it raises, or Expired after `limit` seconds."""
    done: Future[_T] = Future()
    lock = threading.Lock()
    expired = False
    # Duplicates of the connections' descriptors, ours to close. Shutting one down ends the connection
    # whatever has become of the original (TLS replaces it), and its number cannot have gone to
    # another thread's socket meanwhile.
    connections: list[socket.socket] = []

    def hold(connection: socket.socket) -> None:
        with lock:
            if expired:
                raise Expired("the connection came after the deadline")
            connections.append(connection.dup())

    def worked() -> _T:
        try:
            return work(hold)
        finally:
            with lock:
                while connections:
                    connections.pop().close()

    def run() -> None:
        try:
            done.set_result(worked())
        except BaseException as error:  # noqa: BLE001 - handed over: the caller's thread raises it
            done.set_exception(error)

    thread = threading.Thread(target=run, name="upstream-exchange", daemon=True)
    thread.start()
    try:
        in_time = waits.until(lambda seconds: bool(wait([done], seconds).done), limit)
    finally:
        # Also where the wait was interrupted, as by Ctrl-C.
        with lock:
            expired = True
            shut = bool(connections)
            for connection in connections:
                with suppress(OSError):  # the other side may have closed it first
                    connection.shutdown(socket.SHUT_RDWR)
    if in_time or shut:
        thread.join(_LAST_MOMENT)
    if not in_time:
        raise Expired(f"no complete reply within {limit:.1f} s")
    return done.result()
