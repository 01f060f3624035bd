"""Clients that mean no good: crowds of slow and silent ones, and heads without end."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

HOST: Final = b"Host: localhost\r\n"
PER_ADDRESS: Final = 50
"""Connections of one address: fewer than MAX_CONNECTIONS_PER_CLIENT."""

LARGEST: Final = b"/BRLBTC/candles?interval=1m&windows=20,50,200"
"""The read with the largest reply that there is: 10,000 candles."""


@dataclass(frozen=True)
class Kind:
    """A kind of client: what it sends first, what it then sends each second, what it reads."""

    name: str
    opening: bytes
    drop: bytes = b""
    reads: bool = True


SLOW: Final = (
    Kind("slow heads", b"GET /healthz HTTP/1.1\r\n" + HOST + b"A: ", b"b"),
    Kind("slow bodies", b"POST /pairs HTTP/1.1\r\n" + HOST + b"Content-Length: 9999\r\n\r\n", b"b"),
    Kind("silent", b""),
    Kind("slow readers", b"GET " + LARGEST + b" HTTP/1.1\r\n" + HOST + b"\r\n", reads=False),
)
SILENT: Final = SLOW[2]


@dataclass
class Crowd:
    """What has become of connections: the seconds after which the server ended each."""

    kind: Kind
    ended: list[float] = field(default_factory=list)


@contextmanager
def crowd(port: int, kind: Kind, count: int) -> Iterator[Crowd]:
    """So many clients of a kind, from addresses of their own; who is cut off comes again."""
    seen = Crowd(kind)
    leave = threading.Event()
    running = threading.Thread(target=_run, args=(port, seen, count, leave))
    running.start()
    try:
        yield seen
    finally:
        leave.set()
        running.join()


def _run(port: int, seen: Crowd, count: int, leave: threading.Event) -> None:
    with selectors.DefaultSelector() as selector:
        begun: dict[socket.socket, float] = {}
        places = list(range(count))
        drops = time.monotonic()
        while not leave.is_set():
            for place in places:
                newcomer = _connected(port, seen.kind, place)
                begun[newcomer] = time.monotonic()
                selector.register(newcomer, selectors.EVENT_READ, place)
            places.clear()
            for key, _ in selector.select(0.1):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                if _over(client, seen.kind):
                    selector.unregister(client)
                    client.close()
                    seen.ended.append(time.monotonic() - begun.pop(client))
                    places.append(key.data)
            if not seen.kind.reads:
                time.sleep(0.1)  # what came and is not read wakes the selector again and again
            if seen.kind.drop and time.monotonic() - drops > 1.0:
                drops = time.monotonic()
                for client in begun:
                    with suppress(OSError):
                        client.send(seen.kind.drop)
        for client in begun:
            client.close()


def _connected(port: int, kind: Kind, place: int) -> socket.socket:
    client = socket.socket()
    if not kind.reads:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.bind((f"127.0.1.{place // PER_ADDRESS + 1}", 0))
    client.settimeout(5.0)
    with suppress(OSError):  # a full backlog; it counts as ended at once
        client.connect(("127.0.0.1", port))
        client.sendall(kind.opening)
    client.setblocking(False)
    return client


def _over(client: socket.socket, kind: Kind) -> bool:
    """Whether the server has ended the connection."""
    try:
        if kind.reads:
            return client.recv(65_536) == b""
        return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
    except BlockingIOError:
        return False
    except OSError:
        return True


MEGABYTES: Final = 100
_PIECE: Final = 262_144
_MANY: Final = b"".join(b"A%d: " % number + b"b" * 1_000 + b"\r\n" for number in range(256))


def many_lines() -> Iterator[bytes]:
    """Header after header."""
    while True:
        yield _MANY


def one_value() -> Iterator[bytes]:
    """One value without end."""
    yield b"A: "
    while True:
        yield b"b" * _PIECE


def small_pieces() -> Iterator[bytes]:
    """Header after header, in pieces of a packet."""
    while True:
        yield b"A: " + b"b" * 1_000 + b"\r\n"


HEADS: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "many lines": many_lines,
    "one value": one_value,
    "pieces of 1 kB": small_pieces,
}


def send_heads(port: int, pieces: Callable[[], Iterator[bytes]], megabytes: int) -> int:
    """Send so much of heads without end; who is cut off comes again. Returns how often it was."""
    left = megabytes * 1_000_000
    cuts = 0
    while left > 0:
        with socket.socket() as client, suppress(OSError):
            client.bind(("127.0.1.1", 0))
            client.settimeout(60.0)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST)
            for piece in pieces():
                client.sendall(piece)
                left -= len(piece)
                if left <= 0:
                    return cuts
        cuts += 1
    return cuts
