"""The stand-in exchange on a TCP port, with the standard library's threading HTTP server.

The handler writes status line, headers and body itself, so that a fault can spoil any part.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from app.sandbox.exchange import Exchange
from app.sandbox.wire import Outgoing, Reply

HOST: Final = "127.0.0.1"


class SandboxServer(ThreadingHTTPServer):
    """One exchange, a thread for each connection; `server_close` ends the connections too."""

    daemon_threads = False  # server_close joins them: none outlives it
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], exchange: Exchange) -> None:
        self.exchange = exchange
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, SandboxHandler)

    def server_bind(self) -> None:
        """Bind without the parent's name service lookup of the host's full name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand the connection to its thread, and remember it until it ends."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close one connection."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close the port and every connection, and wait for their threads."""
        with self._open_lock:
            for connection in self._open:
                # An idle client would keep its thread reading for ever.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away; show any other error, which is a defect here."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class SandboxHandler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1 for one connection."""

    server: SandboxServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Send the exchange's reply to this path, faults included."""
        self._send(self.server.exchange.answer(self.path))

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""

    def _send(self, reply: Reply) -> None:
        if reply.send is not None:
            self.close_connection = True
            self.connection.settimeout(None)
            reply.send(Outgoing(self.connection, partial(self._head, reply), reply.body))
            return
        opening = self._head(reply, ("Content-Length", str(len(reply.body))))
        self.wfile.write(opening + reply.body)

    def _head(self, reply: Reply, *framing: tuple[str, str]) -> bytes:
        headers = [
            ("Server", "mms-sandbox"),
            ("Date", formatdate(self.server.exchange.clock(), usegmt=True)),
            ("Content-Type", reply.content_type),
            *framing,
            *reply.headers,
        ]
        if self.close_connection:
            headers.append(("Connection", "close"))
        phrase = self.responses.get(reply.status, ("",))[0]  # some statuses only proxies know
        lines = [
            f"HTTP/1.1 {reply.status} {phrase}",
            *(f"{name}: {value}" for name, value in headers),
            "",
            "",
        ]
        return "\r\n".join(lines).encode("latin-1")


@contextmanager
def serve(exchange: Exchange, port: int = 0, host: str = HOST) -> Iterator[str]:
    """Serve the exchange in a thread; yields `http://host:port` without a path.

    Port 0 takes a free one. Raises OSError where the address cannot be bound. At the end the port,
    the connections and their threads are gone.
    """
    host = host.strip("[]")
    server = SandboxServer((host, port), exchange)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="sandbox"
    )
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
