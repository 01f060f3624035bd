"""Idle listeners of GET /stream: what they cost, what readers notice, how soon they hear."""

from __future__ import annotations

import resource
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from benchmarks.edge.bench import Bench, Figure, at_most, memory, port_of, told
from benchmarks.reads.data import HOT
from benchmarks.reads.load import closed_loop, programs
from benchmarks.reads.servers import LOAD, PATIENCE, Server, place
from benchmarks.topology.load import Load
from tests.support.processes import ROOT

LISTENERS: Final = 1_000
FILES: Final = 4_096
"""The limit of open files of the servers (`ulimit -n`)."""

_ROUNDS: Final = 9
_SECONDS: Final = 2
_COMMITS: Final = 20
_IDLE: Final = 10.0
_REQUEST: Final = b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_HEAD: Final = b"\r\n\r\n"


class Listeners:
    """Open streams, which are read when somebody asks."""

    def __init__(self, port: int, number: int) -> None:
        self._selector = selectors.DefaultSelector()
        for _ in range(number):
            stream = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            stream.sendall(_REQUEST)
            received = b""
            while b"retry: " not in received:
                part = stream.recv(65_536)
                assert part, received
                received += part
            stream.setblocking(False)
            self._selector.register(stream, selectors.EVENT_READ)
        self.number = number

    def hear(self, name: bytes) -> float:
        """Read until all have an event of this name; returns the unix time of the last one."""
        waiting = {key.fd for key in self._selector.get_map().values()}
        deadline = time.monotonic() + PATIENCE
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} have not heard {name!r}"
            for key, _ in self._selector.select(1.0):
                assert isinstance(key.fileobj, socket.socket)
                if b"event: " + name in key.fileobj.recv(1_048_576):
                    waiting.discard(key.fd)
        return time.time()

    def rest(self) -> None:
        """Discard what has come."""
        for key, _ in self._selector.select(0):
            assert isinstance(key.fileobj, socket.socket)
            with suppress(BlockingIOError):
                key.fileobj.recv(1_048_576)

    def close(self) -> None:
        """End all of them."""
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()


@contextmanager
def _files(most: int) -> Iterator[None]:
    """Let processes that are started meanwhile open so many files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def writer(database: Path) -> Iterator[Callable[[str], float]]:
    """A process that commits a price or averages when it is told; returns when it has."""
    command = [sys.executable, "-m", "benchmarks.edge.writer", str(database)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        place(process.pid, LOAD)
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def commit(name: str) -> float:
            print(name, file=stdin, flush=True)
            return float(stdout.readline())

        yield commit
        stdin.close()


def measure(bench: Bench) -> list[Figure]:
    """Measure a server with listeners beside one without."""
    number = LISTENERS // 10 if bench.quick else LISTENERS
    rounds = 2 if bench.quick else _ROUNDS
    with (
        _files(FILES),
        bench.serve("alone", MAX_CONNECTIONS_PER_CLIENT="100000", RATE_LIMIT="off") as alone,
        bench.serve("listened", MAX_CONNECTIONS_PER_CLIENT="100000", RATE_LIMIT="off") as server,
    ):
        wrk = programs().wrk
        for each in (alone, server):
            closed_loop(wrk, each.url, _SECONDS, bench.folder, path=HOT)
        before, quiet = memory(server), _cpu(server)
        listeners = Listeners(port_of(server), number)
        listened = _cpu(server)
        cost = memory(server) - before
        ratios = []
        for _ in range(rounds):
            speeds = [
                _rate(closed_loop(wrk, each.url, _SECONDS, bench.folder, path=HOT))
                for each in (alone, server)
            ]
            listeners.rest()
            ratios.append(speeds[1] / speeds[0])
        waits = {name: _delays(bench, listeners, name, rounds) for name in ("price", "averages")}
        listeners.close()
    share = statistics.median(ratios)
    return [
        at_most(f"{number:,} idle listeners, memory", cost, 100.0, "MB"),
        told("CPU of the process without and with them", f"{quiet:.1%}, {listened:.1%}"),
        Figure("hot reads beside them, of those alone", f"{share:.3f}", "≥ 0.9", share >= 0.9),
        *(
            at_most(
                f"from a commit of {name} elsewhere to the last listener, worst",
                max(each),
                1.5,
                "s",
            )
            for name, each in waits.items()
        ),
        told(
            "the same, median",
            ", ".join(f"{name} {statistics.median(each):.2f} s" for name, each in waits.items()),
        ),
    ]


def _rate(load: Load) -> float:
    return load.requests / load.seconds


def _delays(bench: Bench, listeners: Listeners, name: str, rounds: int) -> list[float]:
    """Seconds from each commit until the last listener has heard of it."""
    delays = []
    with writer(bench.folder / "mms.db") as commit:
        for _ in range(_COMMITS if rounds == _ROUNDS else 3):
            listeners.rest()
            committed = commit(name)
            delays.append(listeners.hear(name.encode()) - committed)
            time.sleep(0.13)  # not in step with the watcher
    return delays


def _cpu(server: Server) -> float:
    """The part of a core that the server takes while nobody asks."""
    time.sleep(1)
    begun = sum(server.cpu().values())
    time.sleep(_IDLE)
    return (sum(server.cpu().values()) - begun) / _IDLE
