"""Hosts on loopback that behave, or misbehave, exactly as a test scripts them."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.sources.http import UpstreamHttp
from app.sources.local_rate_limiter import LocalRateLimiter
from app.sources.retry import Bounds, RetryPolicy

ONCE = RetryPolicy(attempts=1)
PATIENT = Bounds(connect=60.0, read=60.0, deadline=60.0)
SHORT_DEADLINE = Bounds(connect=60.0, read=60.0, deadline=0.2)
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Script = Callable[[socket.socket], None]


@dataclass
class Host:
    """A host on loopback; `requests` holds what each connection sent first."""

    port: int
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v4"


@contextmanager
def serving(*scripts: Script, wrap: ssl.SSLContext | None = None) -> Iterator[Host]:
    """A host that plays one script per connection, the last one for all further connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    host = Host(listener.getsockname()[1])
    players: list[threading.Thread] = []

    def play(connection: socket.socket, script: Script) -> None:
        with suppress(OSError), connection:
            connection.settimeout(60.0)
            if wrap is not None:
                connection = wrap.wrap_socket(connection, server_side=True)
            with connection:
                host.requests.append(connection.recv(65_536))
                script(connection)

    def accept() -> None:
        with suppress(OSError):  # the listener was shut down
            for number in range(1_000):
                connection, _ = listener.accept()
                script = scripts[min(number, len(scripts) - 1)]
                player = threading.Thread(target=play, args=(connection, script))
                players.append(player)
                player.start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield host
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(60.0)
        listener.close()
        for player in players:
            player.join(60.0)


def send(*parts: bytes) -> Script:
    """Send the parts and close."""

    def script(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)

    return script


def whole(body: bytes, *, status: bytes = b"200 OK", headers: bytes = b"") -> Script:
    """A well-formed JSON reply."""
    head = b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\n" + headers
    return send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def trickle(opening: bytes, drop: bytes) -> Script:
    """Send the opening, then the drop again and again until the other side closes."""

    def script(connection: socket.socket) -> None:
        connection.sendall(opening)
        for _ in range(3_000):  # a minute
            connection.sendall(drop)
            time.sleep(0.02)

    return script


def say_nothing(connection: socket.socket) -> None:
    """Keep the connection open until the other side closes it."""
    while connection.recv(65_536):
        pass


def reset_after(*parts: bytes) -> Script:
    """Send the parts and end the connection with a reset instead of a close."""

    def script(connection: socket.socket) -> None:
        send(*parts)(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script


def tunnel_to(port: int) -> Script:
    """A proxy that connects every CONNECT to this port of loopback, whatever host it names."""

    def script(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as host:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(host, connection))
            back.start()
            _pump(connection, host)
            back.join(60.0)

    return script


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def door(url: str, bounds: Bounds = PATIENT, policy: RetryPolicy = ONCE) -> UpstreamHttp:
    """The real door, by default patient and without a second attempt."""
    return UpstreamHttp(url, LocalRateLimiter("loopback", 10_000.0), bounds=bounds, policy=policy)


def ask(url: str, bounds: Bounds = PATIENT) -> object:
    """One question through a door of its own."""
    with door(url, bounds) as http:
        return http.get_json("candles", {"symbol": "BTC-BRL"}).data


def descriptors() -> int:
    """How many files and sockets this process has open; 0 where that cannot be seen."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Assert that the threads and sockets which the block opened are given back soon after it."""
    threads, files = set(threading.enumerate()), descriptors()
    yield
    until = time.monotonic() + 60.0
    while time.monotonic() < until and (
        set(threading.enumerate()) - threads or descriptors() > files
    ):
        time.sleep(0.01)
    assert set(threading.enumerate()) - threads == set()
    assert descriptors() <= files


TRICKLES = {
    "one endless header": trickle(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "endless informational replies": trickle(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "body with a length": trickle(JSON_HEAD + b"Content-Length: 1000\r\n\r\n", b"["),
    "packed body": trickle(JSON_HEAD + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08", b"n"),
}


@contextmanager
def crowd_before(address: tuple[str, int]) -> Iterator[None]:
    """More connections than the host's queue holds: the next one to knock is not heard."""
    with ExitStack() as crowd:
        for _ in range(4):
            one = crowd.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(address)
        yield
