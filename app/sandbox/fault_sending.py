"""What faults do while a reply is sent: silence, drops, cuts, floods.

Nothing here is held in memory that need not be, and whoever is asked to wait notices when the client
has gone or the server stops.
"""

from __future__ import annotations

import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from app.sandbox.fault_parameters import Acts
from app.sandbox.faults import Fault

MEGABYTE: Final = 1_000_000
_PIECE: Final = 50_000
_CHUNKED: Final = ("Transfer-Encoding", "chunked")

Head = Callable[..., bytes]
"""The status line and the headers, with those that are given as (name, value) beside the usual ones."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A reply on its way: `head` makes its head, `body` is its body."""

    connection: socket.socket
    head: Head
    body: bytes

    def opening(self) -> bytes:
        """The head that announces the true length."""
        return self.head(_length(len(self.body)))

    def half(self) -> bytes:
        """The head and the first half of the body."""
        return self.opening() + self.body[: len(self.body) // 2]


def send(fault: Fault, reply: Outgoing) -> None:
    """Send the reply as the fault wants it; the caller then closes the connection. Raises OSError."""
    reply.connection.settimeout(None)
    _WAYS[fault.kind.name](fault, reply)


def _refuse(_fault: Fault, _reply: Outgoing) -> None:
    pass


def _reset(fault: Fault, reply: Outgoing) -> None:
    if fault.text("at") == "body":
        reply.connection.sendall(reply.half())
    # Closing with a linger of 0 s sends RST; the server must not shut the connection down before.
    reply.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _slow(fault: Fault, reply: Outgoing) -> None:
    first, rest = b"", reply.opening() + reply.body
    if fault.text("at") == "body":
        first, rest = reply.opening(), reply.body
    reply.connection.sendall(first)
    if _waited(reply.connection, fault.number()):
        reply.connection.sendall(rest)


def _hang(fault: Fault, reply: Outgoing) -> None:
    if fault.text("at") == "body":
        reply.connection.sendall(reply.half())
    _waited(reply.connection, fault.number())


def _trickle(fault: Fault, reply: Outgoing) -> None:
    whole, sent = reply.opening() + reply.body, 0
    if fault.text("at") == "body":
        sent = len(reply.opening())
        reply.connection.sendall(whole[:sent])
    for place in range(sent, len(whole)):
        reply.connection.sendall(whole[place : place + 1])
        if not _waited(reply.connection, fault.number()):
            return


def _cut(fault: Fault, reply: Outgoing) -> None:
    kept = fault.text("keep")
    part = reply.body[: int(kept) if kept else len(reply.body) // 2]
    framing = fault.text("framing")
    if framing == "chunked":
        part = b"%x\r\n" % len(reply.body) + part
    reply.connection.sendall(_framed(reply.head, framing, len(reply.body)) + part)


def _flood(fault: Fault, reply: Outgoing) -> None:
    megabytes, framing = int(fault.number()), fault.text("framing")
    if fault.text("at") == "head":
        reply.connection.sendall(reply.head(_length(0))[:-2] + b"X-Flood: ")
        for _ in range(megabytes * MEGABYTE // _PIECE):
            reply.connection.sendall(b"a" * _PIECE)
        reply.connection.sendall(b"\r\n\r\n")
        return
    # It looks like the beginning of the right reply for as long as anybody reads.
    piece = b"1711584000," * (_PIECE // 11)
    count = megabytes * MEGABYTE // len(piece)
    opening = b'{"t":['
    total = len(opening) + count * len(piece)
    reply.connection.sendall(_framed(reply.head, framing, total))
    chunked = framing == "chunked"
    for part in _repeated(opening, piece, count):
        reply.connection.sendall(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
    reply.connection.sendall(b"0\r\n\r\n" if chunked else b"")


def _gzip_bomb(fault: Fault, reply: Outgoing) -> None:
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    reply.connection.sendall(reply.head(("Content-Encoding", "gzip")))
    spaces = b" " * MEGABYTE
    for _ in range(int(fault.number())):
        reply.connection.sendall(packer.compress(spaces))
    reply.connection.sendall(packer.flush())


def _repeated(opening: bytes, piece: bytes, count: int) -> Iterator[bytes]:
    yield opening
    for _ in range(count):
        yield piece


def _framed(head: Head, framing: str, length: int) -> bytes:
    if framing == "length":
        return head(_length(length))
    return head(_CHUNKED) if framing == "chunked" else head()


def _length(length: int) -> tuple[str, str]:
    return "Content-Length", str(length)


def _waited(connection: socket.socket, seconds: float) -> bool:
    """Wait; False as soon as the client has gone, or the server has shut the connection down."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if not connection.recv(65_536):
                return False
        except TimeoutError:
            break
    connection.settimeout(None)
    return True


_WAYS: Final[Mapping[str, Callable[[Fault, Outgoing], None]]] = {
    "refuse": _refuse,
    "reset": _reset,
    "slow": _slow,
    "hang": _hang,
    "trickle": _trickle,
    "cut": _cut,
    "flood": _flood,
    "gzip-bomb": _gzip_bomb,
}

HANDLED: Final = (Acts.SENDING, frozenset(_WAYS))
"""The kinds that this module acts out."""
