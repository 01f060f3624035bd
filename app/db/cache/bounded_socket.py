"""A socket that bounds the answer to each command: its bytes, and the time it takes.

pymemcache reads as long as bytes arrive, as many as the server says, and each read has its time-out
anew. A server that never ends, or somebody in its place, would take all memory or hold a thread for
ever.
"""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace
from typing import Any, Final

LARGEST_ANSWER: Final = 1_010_000
"""Bytes: the largest value that is stored, its signature, and the lines around it."""

COMMAND_SECONDS: Final = 0.5
"""How long a command may be under way when its next part is read; a time-out bounds that read."""

_PART: Final = 262_144
"""Bytes of one read. pymemcache reads 4 KB at a time, and with many threads each read waits for its
turn again: 40 readers of 0.5 MB took 20 times as long."""


class BoundedSocket(socket.socket):
    """A client's socket: `sendall` begins a command, each `recv` reads a part of its answer."""

    _left = LARGEST_ANSWER
    _ends = 0.0

    def sendall(self, data: Any, *flags: int) -> None:
        """Send a command."""
        self._left = LARGEST_ANSWER
        self._ends = time.monotonic() + COMMAND_SECONDS
        super().sendall(data, *flags)

    def recv(self, size: int, *flags: int) -> bytes:
        """Read up to `_PART` bytes, perhaps more than `size`; the library buffers the rest.

        Raises OSError where the answer is beyond its bounds.
        """
        if self._left <= 0:
            raise OSError(f"the answer has more than {LARGEST_ANSWER:,} bytes")
        if time.monotonic() > self._ends:
            raise TimeoutError(f"the answer takes more than {COMMAND_SECONDS} s")
        part = super().recv(max(size, _PART), *flags)
        self._left -= len(part)
        return part


SOCKETS: Final[Any] = SimpleNamespace(**{**vars(socket), "socket": BoundedSocket})
"""The module `socket` with our socket class."""
