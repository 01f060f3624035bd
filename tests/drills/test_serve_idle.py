"""An idle connection is kept for longer than whoever is in front of the API keeps it."""

from __future__ import annotations

import select
import socket
from pathlib import Path
from urllib.parse import urlsplit

from app.serve import KEEP_ALIVE
from tests.support.processes import DEADLINE, process, url_in_log


def answered(connection: socket.socket) -> None:
    """Ask over the connection and read the whole reply."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
    said = b""
    while not said.endswith(b"}"):
        part = connection.recv(65_536)
        assert part, f"closed after {said!r}"
        said += part
    assert said.startswith(b"HTTP/1.1 200")


def test_an_idle_connection_is_not_closed_under_a_load_balancer(tmp_path: Path) -> None:
    """AWS's keeps one for 60 s. uvicorn's own limit is 5 s: longer than that shows that ours is set."""
    assert KEEP_ALIVE > 60
    with process(tmp_path, "-m", "app.serve", "--port", "0") as child:
        parts = urlsplit(url_in_log(child))
        address = (parts.hostname or "", parts.port or 0)
        with socket.create_connection(address, timeout=DEADLINE) as connection:
            answered(connection)
            closed, _, _ = select.select([connection], [], [], 6.0)
            assert not closed
            answered(connection)
