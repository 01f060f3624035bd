"""The load balancer's stand-in: one address, connections in turn to whoever is registered.

A connection carries one request, as those of urllib do. As AWS's load balancer does, it appends the
client's address to the request's X-Forwarded-For, and connects from an address of its own. What a
listener's rule answers by a fixed response never reaches a target.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

ADDRESS: Final = "127.0.0.2"
"""Where its connections to the targets come from: another address than that of any client."""

_PIECE: Final = 65_536
_LONGEST_HEAD: Final = 65_536
_PATIENCE: Final = 30.0
_NOBODY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class Balancer:
    """Listens on loopback until it is closed; `register` and `deregister` name ports."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._targets: list[int] = []
        self._fixed: dict[bytes, bytes] = {}
        self._turns = itertools.count()
        self._open: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def register(self, port: int) -> None:
        """Send connections to a port of this machine, too."""
        with self._changed:
            self._targets.append(port)

    def answer(self, method: str, status: str, content_type: str, body: str) -> None:
        """Answer requests with a method by this, as a rule with a fixed response says."""
        content = body.encode("utf-8")
        head = f"HTTP/1.1 {status} Fixed\r\nContent-Type: {content_type}; charset=utf-8\r\n"
        head += f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        self._fixed[method.encode("ascii")] = head.encode("ascii") + content

    def deregister(self, port: int, delay: float) -> None:
        """Send no new connections there, and wait up to `delay` seconds for open ones."""
        with self._changed:
            if port in self._targets:
                self._targets.remove(port)
            self._changed.wait_for(lambda: not self._open[port], delay)

    def open(self, port: int) -> int:
        """How many connections there are open."""
        with self._changed:
            return self._open[port]

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5.0)

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, (address, _) = self._listener.accept()
                threading.Thread(target=self._serve, args=[client, address], daemon=True).start()

    def _serve(self, client: socket.socket, address: str) -> None:
        with client, suppress(OSError), self._chosen() as port:
            client.settimeout(_PATIENCE)
            begun = _head(client)
            if fixed := self._fixed.get(begun.partition(b" ")[0]):
                client.sendall(fixed)
                return
            if port is None:
                client.sendall(_NOBODY)
                return
            target = ("127.0.0.1", port)
            with socket.create_connection(target, _PATIENCE, (ADDRESS, 0)) as server:
                server.sendall(forwarded(begun, address))
                back = threading.Thread(target=_pump, args=[server, client], daemon=True)
                back.start()
                _pump(client, server)
                back.join(_PATIENCE)

    @contextmanager
    def _chosen(self) -> Iterator[int | None]:
        """The next port. Its connection counts as open from here on, even before it exists."""
        with self._changed:
            turn = next(self._turns)
            port = self._targets[turn % len(self._targets)] if self._targets else None
            self._open.update([port] if port is not None else [])
        try:
            yield port
        finally:
            with self._changed:
                self._open.subtract([port] if port is not None else [])
                self._changed.notify_all()


def forwarded(request: bytes, client: str) -> bytes:
    """The beginning of a request, its head whole, with the client appended to X-Forwarded-For."""
    head, end, rest = request.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    name = b"x-forwarded-for:"
    told = [line[len(name) :].strip() for line in lines if line.lower().startswith(name)]
    kept = [line for line in lines if not line.lower().startswith(name)]
    line = b"X-Forwarded-For: " + b", ".join([*told, client.encode("ascii")])
    return b"\r\n".join([first, line, *kept]) + end + rest


def _head(client: socket.socket) -> bytes:
    """What a client sends, at least until its head is whole."""
    begun = b""
    while b"\r\n\r\n" not in begun and len(begun) < _LONGEST_HEAD:
        piece = client.recv(_PIECE)
        if not piece:
            break
        begun += piece
    return begun


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
