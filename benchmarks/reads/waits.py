"""Open loops: how long requests at a given rate wait, alone and while others work."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from benchmarks.reads.bench import App, Bench
from benchmarks.reads.data import HOT
from benchmarks.reads.load import Pace, Wrong, closed_loop, open_loop
from benchmarks.reads.results import Goal, Reading
from benchmarks.reads.servers import Server
from benchmarks.reads.traffic import hot_reply
from benchmarks.topology.load import Wrk
from tests.support.patience import until
from tests.support.processes import environment

RATE: Final = 200
GROUP: Final = 8
GROUPS: Final = 5
"""At RATE a connection is asked every 200 ms, in bursts of eight."""

CALM: Final = 25.0
"""The p99 in ms above which the other side's waits are those of a busy machine."""

MINUTES: Final = 9_999

_QUIET: Final = 0.02

_FAULTS: Final = ("request_failed", "request_crashed")
"""What the log has of replies with 5xx, except for those that refuse a heavy read its turn."""


def half_rate(bench: Bench) -> None:
    """The p99 at half of the rate that both reach, beside the limit's at the same rate."""
    for app in bench.apps:
        server = bench.service(app)
        limit = bench.limit("hot", hot_reply(bench, server))
        most = [
            closed_loop(bench.tools.wrk, each.url, bench.seconds, bench.folder, path=HOT)
            for each in (server, limit)
        ]
        rate = min(each.requests / each.seconds for each in most) / 2
        names = [f"p99 at half the maximum, {each}" for each in (server.name, "bare")]
        if app.label:
            names[1] += f" at the rate{app.label}"
        ours, bare = (
            bench.case(name, "ms", _p99(bench, each, Pace(rate, 16, 8)))
            for name, each in zip(names, (server, limit), strict=True)
        )
        bench.row(
            f"p99 at {rate:,.0f} requests/s, {server.name}",
            ours,
            bare,
            Goal(2, at_most=True, other_below=CALM),
        )


def crowd(bench: Bench) -> None:
    """The p99 of hot reads while others ask for much, or a loader commits, beside alone."""
    minute = int(time.time()) // 60 * 60 - 120
    year = f"from={minute - MINUTES * 60}&to={minute}"
    for app in bench.apps:
        server = bench.service(app, INTERVALS="1d,1m")
        loaded = bench.service(app, DB_URL=_own_copy(bench))
        alone = bench.case(
            f"p99 at {RATE}/s alone{app.label}",
            "ms",
            _p99(bench, server, Pace(RATE, GROUP, GROUPS)),
        )
        for name, path in (
            ("10,000 candles", f"/BRLBTC/candles?interval=1m&windows=20,50,200&{year}"),
            ("anomalies of 10,000 minutes", f"/BRLBTC/anomalies?interval=1m&method=robust&{year}"),
            (f"gaps of {bench.data.minutes} days of minutes", "/BRLBTC/gaps?interval=1m"),
        ):
            if (reply := server.ask(path)).status != 200:
                raise Wrong(f"{path}: {reply.status} {reply.body[:200]!r}")
            _row(
                bench,
                app,
                f"8 clients ask for {name}",
                server,
                alone,
                _asked(bench, server, path),
            )
        _row(bench, app, "a loader commits", loaded, alone, _committed(bench, loaded))


def _row(
    bench: Bench,
    app: App,
    what: str,
    server: Server,
    alone: str,
    meanwhile: Callable[[], AbstractContextManager[None]],
) -> None:
    name = f"p99 at {RATE}/s while {what}{app.label}"
    ours = bench.case(name, "ms", _p99(bench, server, Pace(RATE, GROUP, GROUPS), meanwhile))
    bench.row(name, ours, alone, Goal(5, at_most=True, or_below=25, other_below=CALM))


def _p99(
    bench: Bench,
    server: Server,
    pace: Pace,
    meanwhile: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Callable[[int], Reading]:
    def measure(_number: int) -> Reading:
        with meanwhile():
            timed = open_loop(
                bench.tools.h2load,
                server.url + HOT,
                2 * bench.seconds,
                bench.folder,
                pace,
            )
        return Reading(timed.p99(), len(timed.milliseconds) / (2 * bench.seconds))

    return measure


def _asked(bench: Bench, server: Server, path: str) -> Callable[[], AbstractContextManager[None]]:
    """wrk's eight connections ask for `path` all the time.

    One of them has its turn at a time; the others are refused after a second, and ask again.
    """

    @contextmanager
    def meanwhile() -> Iterator[None]:
        load = Wrk(bench.tools.wrk, server.url, [path])
        try:
            time.sleep(0.2)
            yield
            counted = load.end()
            if failed := counted.failed - counted.refused:
                raise Wrong(f"{path}: {failed} requests failed")
            if any(event in server.log.read_text() for event in _FAULTS):
                raise Wrong(f"{path}: {server.log} has another reason than `overloaded`")
        finally:
            load.close()
            _settle(server)

    return meanwhile


def _committed(bench: Bench, server: Server) -> Callable[[], AbstractContextManager[None]]:
    """The project's own loading revises the year again and again, in another process."""

    @contextmanager
    def meanwhile() -> Iterator[None]:
        before = server.ask(HOT).header("etag")
        command = [sys.executable, "-m", "benchmarks.reads.loader", _url(bench)]
        with subprocess.Popen(
            command, cwd=bench.folder, env=environment(bench.folder), stdout=subprocess.PIPE
        ) as process:
            try:
                assert process.stdout is not None
                if not process.stdout.readline():
                    raise Wrong("the loader ends before its first commit")
                yield
            finally:
                process.kill()
        _settle(server)
        if server.ask(HOT).header("etag") == before:
            raise Wrong("the loader has changed nothing")

    return meanwhile


def _own_copy(bench: Bench) -> str:
    """A copy of the database, for a loader to change; returns its URL."""
    copy = bench.folder / "loaded.db"
    if not copy.exists():
        shutil.copy(bench.data.path, copy)
    return _url(bench)


def _url(bench: Bench) -> str:
    return f"sqlite:///{bench.folder / 'loaded.db'}"


def _settle(server: Server) -> None:
    """Wait until the server has ended what was asked by those who are gone."""

    def quiet() -> bool:
        before = sum(server.cpu().values())
        time.sleep(0.3)
        return sum(server.cpu().values()) - before <= _QUIET

    until(quiet, 120)
