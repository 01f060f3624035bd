"""The load balancer's stand-in: one address, connections in turn to whoever is registered."""

from __future__ import annotations

import itertools
import socket
import threading
from contextlib import suppress
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
        self._lock = threading.Lock()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def register(self, port: int) -> None:
        """Send connections to a port of this machine, too."""
        with self._lock:
            self._targets.append(port)

    def deregister(self, port: int) -> None:
        """Send no further connections there; those that are open go on."""
        with self._lock:
            if port in self._targets:
                self._targets.remove(port)

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
        with client, suppress(OSError):
            client.settimeout(_PATIENCE)
            with self._lock:
                turn = next(self._turns)
                port = self._targets[turn % len(self._targets)] if self._targets else None
            if port is None:
                client.recv(_PIECE)
                client.sendall(_NOBODY)
                return
            with socket.create_connection(("127.0.0.1", port), _PATIENCE) as server:
                back = threading.Thread(target=_pump, args=[server, client], daemon=True)
                back.start()
                _pump(client, server)
                back.join(_PATIENCE)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
