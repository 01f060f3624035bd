"""The load balancer's stand-in: one address, connections in turn to whoever is registered."""

from __future__ import annotations

import itertools
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_PIECE: Final = 65_536
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
        self._turns = itertools.count()
        self._open: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def register(self, port: int) -> None:
        """Send connections to a port of this machine, too."""
        with self._changed:
            self._targets.append(port)

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
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), self._chosen() as port:
            client.settimeout(_PATIENCE)
            if port is None:
                client.recv(_PIECE)
                client.sendall(_NOBODY)
                return
            with socket.create_connection(("127.0.0.1", port), _PATIENCE) as server:
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


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
