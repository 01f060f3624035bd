"""An idle connection is kept for longer than whoever is in front of the API keeps it."""

from __future__ import annotations

import select
import socket
from pathlib import Path
from urllib.parse import urlsplit

from app.serve import KEEP_ALIVE
from tests.support.processes import DEADLINE, ask_over, process, url_in_log


def test_an_idle_connection_is_not_closed_under_a_load_balancer(tmp_path: Path) -> None:
    """AWS's keeps one for 60 s. uvicorn's default is 5 s: longer shows that ours is set."""
    assert KEEP_ALIVE > 60
    with process(tmp_path, "-m", "app.serve", "--port", "0") as child:
        parts = urlsplit(url_in_log(child))
        address = (parts.hostname or "", parts.port or 0)
        with socket.create_connection(address, timeout=DEADLINE) as connection:
            ask_over(connection)
            closed, _, _ = select.select([connection], [], [], 6.0)
            assert not closed
            ask_over(connection)
