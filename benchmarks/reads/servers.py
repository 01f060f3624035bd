"""Servers as processes: started on one core, and the CPU and the memory that they take (Linux)."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.processes import ROOT, environment

PATIENCE: Final = 60.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")

CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER: Final = {CORES[0]}
"""The core of whatever is measured."""
LOAD: Final = {CORES[-1]}
"""The core of the load, and of all else."""

AHEAD: Final = -10
"""The niceness of servers and loads: only root may lower it. Without it, p99 is the machine's."""

UNLIMITED: Final = "100000000/minute"
"""A RATE_LIMIT that no load reaches: what it costs is measured, too."""

ONE_CLIENT: Final = {"RATE_LIMIT": UNLIMITED, "MAX_CONNECTIONS_PER_CLIENT": "1000"}
"""Settings under which one address may send all of the load."""

PLAIN: Final = ("--log-level", "warning", "--no-access-log", "--no-server-header")
"""Options that make plain uvicorn as fast as it is; the service sends no `server` header either."""


@dataclass(frozen=True)
class Reply:
    """A reply as it came: status, headers with lower-case names, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """One header; empty where it is absent."""
        return dict(self.headers).get(name, "")


@dataclass
class Server:
    """A running server; `log` is where its standard error goes."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """One request on a connection of its own."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            reply = connection.getresponse()
            named = tuple((name.lower(), value) for name, value in reply.getheaders())
            return Reply(reply.status, named, reply.read())
        finally:
            connection.close()

    def workers(self) -> list[int]:
        """The processes that it consists of, the first one ahead."""
        pids = [self.process.pid]
        for pid in pids:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            pids += [int(child) for child in children.split()]
        return pids

    def cpu(self) -> dict[int, float]:
        """Seconds of CPU of each of its processes until now."""
        return {pid: _cpu(pid) for pid in self.workers()}

    def resident(self) -> float:
        """The memory of all its processes in MB."""
        return sum(_resident(pid) for pid in self.workers()) / 1024


def place(pid: int, cores: set[int]) -> None:
    """Keep a process on these cores, and ahead of others where that is allowed."""
    os.sched_setaffinity(pid, cores)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, AHEAD)


@contextmanager
def session_ahead() -> Iterator[None]:
    """Put this session ahead of others where that is allowed: niceness counts inside of one only.

    See sched(7), the autogroup feature.
    """
    group = Path("/proc/self/autogroup")
    with suppress(OSError):
        group.write_text(str(AHEAD))
    try:
        yield
    finally:
        with suppress(OSError):
            group.write_text("0")


def _cpu(pid: int) -> float:
    # The name in parentheses may hold spaces; user and system time are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@contextmanager
def service(
    name: str,
    folder: Path,
    root: Path = ROOT,
    *,
    logged: bool = False,
    options: Sequence[str] = (),
    **settings: str,
) -> Iterator[Server]:
    """An API process with the code of `root`, and these options of its command.

    With `logged` every default is on, and the access log goes into a pipe, as under systemd or in a
    container; `wc` empties it on the other core.
    """
    port = free_port()
    mine = environment(folder, **{"PORT": str(port), **ONE_CLIENT, **settings})
    mine |= {"PYTHONPATH": str(root)} | ({} if logged else {"ACCESS_LOG": "off"})
    command = [sys.executable, "-m", "app.serve", *options]
    with _started(name, folder, command, mine, port, "/readyz", piped=logged) as server:
        yield server


@contextmanager
def plain(name: str, folder: Path, app: str, **variables: str) -> Iterator[Server]:
    """Another ASGI application under plain uvicorn."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *PLAIN]
    with _started(name, folder, command, environment(folder, **variables), port, "/") as server:
        yield server


@contextmanager
def _started(
    name: str,
    folder: Path,
    command: list[str],
    variables: dict[str, str],
    port: int,
    first: str,
    *,
    piped: bool = False,
) -> Iterator[Server]:
    log = folder / f"{re.sub('[^A-Za-z0-9=]+', '-', name)}.log"
    with log.open("wb") as out:
        counter = None
        if piped:
            counter = subprocess.Popen(["wc", "-l"], stdin=subprocess.PIPE, stdout=out)
            place(counter.pid, LOAD)
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stderr=counter.stdin if counter else out,
            stdout=out,
        )
        # Threads and workers that it starts later inherit this.
        place(process.pid, SERVER)
        if counter and counter.stdin:
            counter.stdin.close()
        server = Server(name, f"http://127.0.0.1:{port}", process, log)
        try:
            until(lambda: _answers(server, first) or process.poll() is not None, PATIENCE)
            assert process.poll() is None, f"{name}: {log.read_text()[-500:]}"
            yield server
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
            if counter:
                counter.wait(PATIENCE)


def _answers(server: Server, path: str) -> bool:
    try:
        return server.ask(path).status < 500
    except OSError:
        time.sleep(0.05)
        return False
