"""The API as a process of its own, and a client that costs little."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.patience import until
from tests.support.processes import DEADLINE, environment


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Served:
    """A running API; `log` is what it has said so far."""

    port: int
    _log: Path
    _child: subprocess.Popen[bytes]

    def connect(self) -> HTTPConnection:
        """A connection that is kept for many requests; close it."""
        return HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)

    def log(self, *events: str) -> list[dict[str, Any]]:
        """The lines of these events, or all."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [line for line in lines if not events or line["event"] in events]

    def peak(self) -> int:
        """The most memory that it has had at a time, in bytes (VmHWM of Linux)."""
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def stop(self) -> int:
        """Ask it to end; returns the exit code."""
        self._child.send_signal(signal.SIGTERM)
        return self._child.wait(DEADLINE)

    def kill(self) -> None:
        """End it without a word."""
        self._child.kill()
        self._child.wait(DEADLINE)


def get(connection: HTTPConnection, target: str) -> Reply:
    """GET over a connection that stays open."""
    connection.request("GET", target)
    reply = connection.getresponse()
    headers = {name.lower(): value for name, value in reply.getheaders()}
    return Reply(reply.status, headers, reply.read())


@contextmanager
def api(folder: Path, name: str, *arguments: str, **settings: str) -> Iterator[Served]:
    """An API process with these arguments and settings; unless the test ends it, it ends well."""
    log = folder / f"{name}.log"
    quiet = {"ACCESS_LOG": "off", **settings}
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-m", "app.serve", "--port", "0", *arguments],
            cwd=folder,
            env=environment(folder, **quiet),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as child,
    ):
        try:
            until(lambda: b"server_ready" in log.read_bytes() or child.poll() is not None, DEADLINE)
            served = Served(0, log, child)
            until(lambda: log.read_bytes().endswith(b"\n"), DEADLINE)
            ready = served.log("server_ready")[0]
            served.port = urlsplit(ready["url"]).port or 0
            yield served
            if child.poll() is None:
                assert served.stop() == 0
        finally:
            if child.poll() is None:
                child.kill()
