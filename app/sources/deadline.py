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
from contextlib import suppress
from typing import Final, Generic, TypeVar

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
    return _Work(work).run(limit)


class _Work(Generic[_T]):
    def __init__(self, work: Callable[[Hold], _T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._results: list[_T] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._expired = False
        # A duplicate of the connection's descriptor, ours to close. Shutting it down ends the
        # connection whatever has become of the original (TLS replaces it), and its number cannot
        # have gone to another thread's socket meanwhile.
        self._connection: socket.socket | None = None

    def run(self, limit: float) -> _T:
        thread = threading.Thread(target=self._run, name="upstream-exchange", daemon=True)
        thread.start()
        try:
            done = waits.until(self._done.wait, limit)
        finally:
            # Also where the wait was interrupted, as by Ctrl-C.
            shut = self._expire()
        if done or shut:
            thread.join(_LAST_MOMENT)
        if not done:
            raise Expired(f"no complete reply within {limit:.1f} s")
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._work(self._hold))
        except BaseException as error:  # noqa: BLE001 - handed over: the caller's thread raises it
            self._error = error
        finally:
            with self._lock:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
            self._done.set()

    def _hold(self, connection: socket.socket) -> None:
        with self._lock:
            if self._expired:
                raise Expired("the connection came after the deadline")
            if self._connection is not None:  # a second one replaces the first: a retried connect
                self._connection.close()
            self._connection = connection.dup()

    def _expire(self) -> bool:
        """Let the work go on no longer; True where there was a connection to shut down."""
        with self._lock:
            self._expired = True
            if self._connection is None:
                return False
            with suppress(OSError):  # the other side may have closed it first
                self._connection.shutdown(socket.SHUT_RDWR)
            return True
