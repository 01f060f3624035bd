"""Sockets whose replies end in time, however slowly the other side sends them.

A socket's time-out bounds one read, and a reply takes many. pymemcache makes its sockets through a
module that can be given to it; this one's sockets have a deadline for a command and all of its reply.

They also read in large parts. pymemcache asks for 4 KB at a time, and among many threads each part
waits for its turn again: 40 readers of 0.5 MB took 20 times as long.

And nothing bounds how long a name takes to resolve. So that is done apart from connecting, which knows
the addresses already or fails at once.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

READS: Final = 5
"""A whole reply may take as long as this many time-outs of one read.

More than one, because a busy process is late with its reads though the reply has long been there.
"""

PART: Final = 262_144
"""Bytes of one read; the library keeps what belongs to the next line."""

_AT_ONCE: Final = 0.001  # a time-out of 0 would mean a socket that never waits


class BoundedSocket(socket.socket):
    """A socket that reads for a limited time after each command it sends."""

    _one_read: float | None = None
    _until = 0.0

    def settimeout(self, value: float | None, /) -> None:
        """Allow so many seconds for connecting, for sending, and for each read."""
        self._one_read = value
        super().settimeout(value)

    def sendall(self, *arguments: Any) -> None:
        """Send a command; the time for its reply begins."""
        super().settimeout(self._one_read)
        self._until = time.monotonic() + READS * (self._one_read or 0.0)
        super().sendall(*arguments)

    def recv(self, size: int, *flags: int) -> bytes:
        """Read a part of the reply, which may be longer than `size`. Raises TimeoutError."""
        if self._one_read is not None:
            left = self._until - time.monotonic()
            super().settimeout(max(_AT_ONCE, min(self._one_read, left)))
        return super().recv(max(size, PART), *flags)


Resolve = Callable[[str, int, int, int], Sequence[Any]]
"""Finds the addresses of a host, as `socket.getaddrinfo(host, port, family, type)` does."""


class BoundedSockets:
    """The module `socket` for one host, with `BoundedSocket` for its sockets."""

    socket = BoundedSocket

    def __init__(self, host: str, port: int, resolve: Resolve) -> None:
        self._host, self._port = host, port
        self._resolve = resolve
        self._known: Sequence[Any] = ()
        self._reason = "its name has not been resolved yet"

    def resolve(self) -> None:
        """Find the host's addresses now, which may take long; where there are none, the known ones stay."""
        try:
            self._known = self._resolve(
                self._host, self._port, socket.AF_UNSPEC, socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            self._reason = str(error)

    def getaddrinfo(self, *_asked: Any) -> Sequence[Any]:
        """The addresses that are known. Raises socket.gaierror where none is."""
        if not self._known:
            raise socket.gaierror(socket.EAI_AGAIN, self._reason)
        return self._known

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)
