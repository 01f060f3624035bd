"""The measurements, each against a server of its own with every default."""

from __future__ import annotations

import resource
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from benchmarks.edge.bench import (
    Bench,
    Figure,
    at_most,
    doubled,
    exactly,
    mark_memory,
    most_memory,
    open_files,
    port_of,
    readers_for,
    said,
    told,
)
from benchmarks.edge.crowd import (
    HEADS,
    HOST,
    MEGABYTES,
    SILENT,
    SLOW,
    Crowd,
    Kind,
    crowd,
    send_heads,
)
from benchmarks.edge.reader import Readers, Tally
from benchmarks.reads.data import HOT
from benchmarks.reads.servers import PATIENCE, Server
from tests.support import memcached
from tests.support.patience import until

HEALTH: Final = "/healthz"
ABANDONED: Final = 44
ROUNDS: Final = 3
UNTIL_CUT: Final = 45.0
"""Seconds after which a crowd that nobody has cut counts as never cut."""
FILES: Final = 1_024
BEYOND: Final = 1_100
LINES: Final = 5
"""Lines of the log: at least one beside that of the start, and one a minute."""
DRAIN: Final = 2
STOPS: Final = 20


def heads(bench: Bench) -> list[Figure]:
    """100 MB of heads without end: memory, and how long the event loop is held."""
    figures = []
    megabytes = MEGABYTES // 10 if bench.quick else MEGABYTES
    for name, pieces in HEADS.items():
        with bench.serve("heads") as server:
            readers_for(server, 1.0, HEALTH)
            before = mark_memory(server)
            readers = Readers(port_of(server), HEALTH)
            cuts = send_heads(port_of(server), pieces, megabytes)
            seen = readers.end()
            added = most_memory(server) - before
        what = f"{megabytes} MB of headers, {name}"
        figures += [
            at_most(f"{what}: memory added", added, 5, "MB"),
            at_most(f"{what}: slowest `/healthz` beside", max(seen.waits), 50, "ms"),
            told(f"{what}: p99 of `/healthz`; cut", f"{seen.p99():,.0f} ms; {cuts:,} times"),
        ]
    return figures


def abandoned(bench: Bench) -> list[Figure]:
    """Heavy reads whose clients have gone at once: health, memory, and a stop soon after."""
    what = f"{ABANDONED} abandoned `/gaps?interval=1m`"
    with bench.serve("abandoned") as server:
        mark_memory(server)
        readers = Readers(port_of(server), HEALTH)
        _abandon(server)
        # What waits for a thread comes last.
        until(lambda: _answers(server), 600.0)
        time.sleep(1.0)
        seen = readers.end()
        memory = most_memory(server)
    with bench.serve("abandoned-stop") as server:
        readers = Readers(port_of(server), HOT)
        time.sleep(1.0)
        _abandon(server)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        stopped = _ended(server.process)
        at_stop = readers.end()
    return [
        at_most(f"{what}: slowest `/healthz`", max(seen.waits) / 1e3, 0.5, "s"),
        at_most(f"{what}: memory", memory, 400, "MB"),
        exactly(f"{what}, then SIGTERM: replies lost", at_stop.lost + at_stop.unanswered, 0),
        exactly(f"{what}, then SIGTERM: exit code", stopped, 0),
    ]


def _abandon(server: Server) -> None:
    for number in range(ABANDONED):
        with socket.socket() as client:
            client.bind((f"127.0.1.{number + 1}", 0))
            client.connect(("127.0.0.1", port_of(server)))
            client.sendall(b"GET /BRLBTC/gaps?interval=1m HTTP/1.1\r\n" + HOST + b"\r\n")
            time.sleep(0.02)


def _answers(server: Server) -> bool:
    try:
        return server.ask("/pairs").status == 200
    except OSError:
        return False


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code of a process that has been asked to end; None where it does not."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(PATIENCE)
    return None


def slow(bench: Bench) -> list[Figure]:
    """Crowds of slow and silent clients: what readers notice, memory, when they are cut."""
    counts = (500,) if bench.quick else (500, 1_000)
    return [each for kind in SLOW for count in counts for each in _slow(bench, kind, count)]


def _slow(bench: Bench, kind: Kind, count: int) -> list[Figure]:
    alone, arriving, beside = [], [], []
    with bench.serve("slow") as server:
        port = port_of(server)
        readers_for(server, 1.0)
        mark_memory(server)
        for left in reversed(range(ROUNDS)):
            alone.append(readers_for(server, 2.0))
            begun = time.monotonic()
            with crowd(port, kind, count) as seen:
                arriving.append(readers_for(server, 2.0))
                beside.append(readers_for(server, 2.0))
                cut = None if left else _first_cut(server, seen, begun)
        memory = most_memory(server)
        log = said(server)
    what = f"{count:,} {kind.name}"
    failed = sum(tally.failed() for tally in (*alone, *arriving, *beside))
    first, usual = (statistics.median(each.p99() for each in part) for part in (arriving, alone))
    return [
        doubled(f"{what}: p99 of readers", alone, beside),
        told(f"{what}: the same while all come; alone", f"{first:,.0f} ms; {usual:.1f} ms"),
        exactly(f"{what}: readers' requests that failed", failed, 0),
        at_most(f"{what}: memory", memory, 400, "MB"),
        _cut(f"{what}: the first is cut after", cut),
        told(f"{what}: the log", log),
    ]


def _first_cut(server: Server, seen: Crowd, begun: float) -> float | None:
    """The seconds until the first client of a crowd is cut; None where none is.

    Whoever reads nothing does not see it. The process then has fewer files open.
    """
    most = 0
    while (seconds := time.monotonic() - begun) < UNTIL_CUT:
        files = open_files(server)
        most = max(most, files)
        if seen.ended or (not seen.kind.reads and files < most - 2):
            return min(seen.ended, default=seconds)
        time.sleep(0.1)
    return None


def _cut(what: str, seconds: float | None) -> Figure:
    value = f"never, in {UNTIL_CUT:.0f} s" if seconds is None else f"{seconds:.1f} s"
    return Figure(what, value, f"≤ {UNTIL_CUT:.0f} s", held=seconds is not None)


def full(bench: Bench) -> list[Figure]:
    """More silent connections than the process may open files."""
    with ExitStack() as closing:
        with _files(FILES):
            server = closing.enter_context(bench.serve("full"))
        with crowd(port_of(server), SILENT, BEYOND):
            time.sleep(1.0)
            readers = Readers(port_of(server), HEALTH, connections=8, anew=True)
            time.sleep(3.0 if bench.quick else 15.0)
            seen = readers.end()
        log, lines = said(server), len(server.log.read_bytes().splitlines())
    what = f"{BEYOND:,} silent connections at `ulimit -n {FILES}`"
    return [
        exactly(f"{what}: `/healthz` on new connections, failed", seen.failed(), 0),
        at_most(f"{what}: slowest `/healthz`", max(seen.waits) / 1e3, 0.5, "s"),
        Figure(f"{what}: the log", log, f"at most {LINES} lines", held=1 < lines <= LINES),
    ]


_OURS: Final = resource.getrlimit(resource.RLIMIT_NOFILE)


@contextmanager
def _files(most: int) -> Iterator[None]:
    """Let a process that is started now open so many files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, _OURS[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, _OURS)


def stops(bench: Bench) -> list[Figure]:
    """SIGTERM under load, again and again."""
    runs = 3 if bench.quick else STOPS
    tallies, codes = [], []
    for _ in range(runs):
        with bench.serve("stops", options=["--drain", str(DRAIN)], RATE_LIMIT="off") as server:
            readers = Readers(port_of(server), HOT, connections=32, rate=0)
            time.sleep(1.0)
            server.process.send_signal(signal.SIGTERM)
            codes.append(_ended(server.process))
            tallies.append(readers.end())
    what = f"{runs} stops under load, `--drain {DRAIN}`"
    return [
        exactly(f"{what}: replies lost on kept connections", sum(t.lost for t in tallies), 0),
        exactly(f"{what}: other exit codes than 0", sum(code != 0 for code in codes), 0),
        told(f"{what}: replies; new connections cut at the end", _replies(tallies)),
    ]


def _replies(tallies: list[Tally]) -> str:
    replies = sum(sum(tally.statuses.values()) for tally in tallies)
    return f"{replies:,}; {sum(tally.cut for tally in tallies):,}"


def limited(bench: Bench) -> list[Figure]:
    """One client beyond its rate, beside others."""
    alone, beside, statuses = [], [], {"200": 0, "429": 0}
    with bench.serve("limited") as server:
        readers_for(server, 1.0)
        for _ in range(ROUNDS):
            alone.append(readers_for(server, 2.0))
            flood = Readers(port_of(server), HOT, connections=4, rate=0, address="127.0.1.1")
            beside.append(readers_for(server, 2.0))
            for status, count in flood.end().statuses.items():
                statuses[status] = statuses.get(status, 0) + count
    failed = sum(tally.failed() for tally in (*alone, *beside))
    words = ", ".join(f"{count:,} × {status}" for status, count in statuses.items())
    limit = "429 beyond 600 a minute"
    return [
        Figure("one client at full speed: gets", words, limit, held=statuses["429"] > 0),
        doubled("one client at full speed: p99 of the others", alone, beside),
        exactly("one client at full speed: requests of others that failed", failed, 0),
    ]


def cache(bench: Bench) -> list[Figure]:
    """memcached is killed under readers."""
    program = memcached.program()
    if program is None:
        return [Figure("memcached killed", "memcached is not installed", "0", held=False)]
    with memcached.running(program) as node, bench.serve("cache", CACHE_URL=node.url) as server:
        readers = Readers(port_of(server), HOT)
        time.sleep(2.0)
        node.kill()
        time.sleep(4.0)
        seen = readers.end()
    return [
        exactly("memcached killed: readers' requests that failed", seen.failed(), 0),
        told("memcached killed: readers' slowest", f"{max(seen.waits):.3g} ms"),
    ]
