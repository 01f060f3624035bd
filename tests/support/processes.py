"""Our commands as processes of their own."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0
"""Seconds after which a test gives up on a process."""


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The environment of a process that knows nothing of this machine's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG") or name.startswith("COV")
    }
    mine = {"DB_URL": f"sqlite:///{folder / 'mms.db'}", "LOG_FORMAT": "json"}
    # All requests of a test come from one address.
    mine |= {"RATE_LIMIT": "off", "RATE_LIMIT_COLLECT": "off", **settings}
    return {**kept, "PYTHONPATH": str(ROOT), **mine}


@contextmanager
def process(folder: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process; killed where the test leaves it running."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(folder, **settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def url_in_log(child: subprocess.Popen[str]) -> str:
    """The address that the child's log says it serves."""
    assert child.stderr is not None
    for line in child.stderr:
        found = re.search(r"http://[0-9.:]+", line)
        if found:
            return found[0]
    raise AssertionError("the process ended before it served")


def ended(child: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and what was said on standard error."""
    _, said = child.communicate(timeout=DEADLINE)
    return child.returncode, said


def ask_over(connection: socket.socket) -> None:
    """Ask an API over the connection whether it is alive, and read the whole reply."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
    said = b""
    while not said.endswith(b"}\n"):
        part = connection.recv(65_536)
        assert part, f"closed after {said!r}"
        said += part
    assert said.startswith(b"HTTP/1.1 200")


def refuses(url: str) -> bool:
    """Whether nothing listens any more. A connection that waits for nobody is no refusal."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 0)
    try:
        socket.create_connection(address, timeout=DEADLINE).close()
    except ConnectionRefusedError:
        return True
    return False


@dataclass(frozen=True)
class Server:
    """A running API."""

    url: str

    def ask(self, method: str, target: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers by lower-case name, and the JSON body."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=DEADLINE)
        try:
            connection.request(method, target)
            reply = connection.getresponse()
            body = reply.read()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            return reply.status, headers, json.loads(body, parse_float=Decimal) if body else None
        finally:
            connection.close()


@contextmanager
def api_server(settings: dict[str, str], folder: Path) -> Iterator[Server]:
    """An API process on a free port, with only its problems in the log."""
    quiet = settings | {"PORT": "0", "ACCESS_LOG": "off"}
    with process(folder, "-m", "app.serve", **quiet) as child:
        url = url_in_log(child)
        assert child.stderr is not None
        # A process whose log nobody reads stops once the pipe is full.
        reader = threading.Thread(target=child.stderr.read)
        reader.start()
        yield Server(url)
        child.terminate()
        assert child.wait(DEADLINE) == 0
        reader.join()
