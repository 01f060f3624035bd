"""PostgreSQL goes away under read load, and comes back: what readers and loaders meet meanwhile.

A separate server is shut down, crashes, and ends every connection, while readers ask an API process
without pause. A loader is at work each time.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

import psycopg

from app.core.errors import StoreError
from app.core.market import Interval, Series
from benchmarks.reliability import rig
from benchmarks.reliability.content import content, disagreements
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.reads import Read, readers
from tests.support.postgres import Postgres

RECOVERED_WITHIN: Final = 10.0
ANSWERED_WITHIN: Final = 2.5
AWAY: Final = 3.0
"""Seconds for which the server stays stopped, and of reads after all is well again."""
BEFORE: Final = 0.5
"""Seconds of undisturbed reads."""
NOTICED_WITHIN: Final = 20.0
"""Seconds for which the server stays away for a loader that has not noticed yet."""
LEFT_FOR: Final = 5.0
"""Seconds that a loader goes on once all is well, before it is stopped."""

TARGETS: Final = (
    "/BRLBTC/mms?range=20",
    "/BRLBTC/candles?windows=20,50,200",
    "/pairs",
    "/BRLBTC/gaps",
    "/readyz",
)


@dataclass(frozen=True, slots=True)
class Way:
    """A disturbance. `disturb` returns after it, with the moment from which the server answers.

    `felt`: readers and loaders must notice it.
    """

    disturb: Callable[[Postgres, subprocess.Popen[str]], float]
    felt: bool


@dataclass
class Tally:
    """What the readers and the loaders met."""

    reads: list[Read] = field(default_factory=list)
    recovered: list[float] = field(default_factory=list)
    loaders: Counter[int] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    loader_troubles: list[str] = field(default_factory=list)


def measure(
    where: rig.Where,
    runs: int = 6,
    step: Step = no_step,
    *,
    names: Sequence[str] = ("stopped", "crashed", "terminated"),
    away: float = AWAY,
) -> list[Figure]:
    """Disturb PostgreSQL `runs` times, in every way in turn, without and with a cache in front."""
    tally = Tally()
    ways_by_name = {
        "stopped": Way(_stopped("fast", away), felt=True),
        "crashed": Way(_stopped("immediate", away), felt=True),
        "terminated": Way(_terminated, felt=False),
    }
    ways = [ways_by_name[name] for name in names]
    with (
        rig.exchange(time.time) as (stage, base_url),
        rig.postgres_server() as server,
        rig.opened(where.kind, server.create()) as served,
        rig.opened(where.kind, server.create()) as loading,
    ):
        rig.load(served, base_url, Interval.DAY, 365, time.time)
        for number in range(runs):
            way = ways[number % len(ways)]
            cache = "none://" if number // len(ways) % 2 == 0 else "memory://"
            with ExitStack() as stack:
                settings = {"DB_URL": served.url, "CACHE_URL": cache}
                server_of_api = stack.enter_context(rig.api(served.folder, **settings))
                stage.asked.clear()
                loader = _loader(loading, base_url)
                stack.enter_context(rig.processes([loader]))
                assert stage.asked.wait(60), "the loader asks for nothing"
                with readers(server_of_api, TARGETS) as reads:
                    threading.Event().wait(BEFORE)
                    begun = time.monotonic()
                    accepting = way.disturb(server, loader)
                    _wait_until_well(reads, accepting)
                    threading.Event().wait(away)
                _judge_reads(reads, way, begun, accepting, tally)
                _judge_loader(loader, loading, way, tally)
            step()
        server.stop()
        _judge_start(loading, base_url, tally)
        server.start()
    return [_reads_figure(where.kind, runs, tally), _loaders_figure(where.kind, runs, tally)]


def _reads_figure(kind: str, runs: int, tally: Tally) -> Figure:
    statuses = Counter(read.status for read in tally.reads)
    slowest = max((read.seconds for read in tally.reads), default=0.0)
    refused = max((read.seconds for read in tally.reads if read.status == 503), default=0.0)
    longest = max(tally.recovered, default=0.0)
    for read in tally.reads:
        if read.status not in (200, 503) or read.seconds > ANSWERED_WITHIN:
            tally.troubles.append(f"{read.target}: {read.status} after {read.seconds:.2f} s")
    if longest > RECOVERED_WITHIN:
        tally.troubles.append(f"it took {longest:.1f} s to recover")
    shown = ", ".join(f"{status} x {count:,}" for status, count in sorted(statuses.items()))
    return figure(
        f"PostgreSQL restart under read load: recovered within {RECOVERED_WITHIN:.0f} s, until then "
        f"503 within {ANSWERED_WITHIN} s",
        kind,
        runs,
        f"last failure {longest:.2f} s after it accepted again; slowest 503 {refused:.2f} s, slowest "
        f"reply {slowest:.2f} s; {shown}",
        tally.troubles,
        least=runs,
    )


def _loaders_figure(kind: str, runs: int, tally: Tally) -> Figure:
    codes = ", ".join(f"exit {code} x {count}" for code, count in sorted(tally.loaders.items()))
    return figure(
        "a loader meanwhile: ends with 1 and a clear line (2 where it had not begun), nothing half-written",
        kind,
        runs,
        codes,
        tally.loader_troubles,
        least=runs,
    )


def _loader(loading: rig.Database, base_url: str) -> subprocess.Popen[str]:
    """A loader that is at work for longer than the disturbance takes."""
    loading.empty()
    loading.engine.dispose()  # whose connections are about to be ended
    return rig.start(
        loading.folder,
        loading.url,
        base_url,
        "app.workers.initial_loader",
        INTERVALS="1m",
        HISTORY_DAYS="300",
        MB_REQUESTS_PER_SECOND="50",
    )


def _judge_loader(
    process: subprocess.Popen[str], loading: rig.Database, way: Way, tally: Tally
) -> None:
    try:
        process.wait(LEFT_FOR)
    except subprocess.TimeoutExpired:
        process.terminate()  # it was not hit, and has much left to load
    code, out, said = rig.end(process)
    tally.loaders[code] += 1
    if code not in ((1,) if way.felt else (0, 1, 143)) or "Traceback" in said:
        tally.loader_troubles.append(f"exit {code}: {said[-300:]}")
    if code == 1 and "the database does not answer" not in out:
        tally.loader_troubles.append(f"no clear line: {out[-300:]}")
    stored = content(loading.engine, Series(rig.BTC, Interval.MINUTE))
    tally.loader_troubles += disagreements(stored, Interval.MINUTE.seconds)


def _judge_start(loading: rig.Database, base_url: str, tally: Tally) -> None:
    """A loader that begins while the database is away cannot start, and says why in one line."""
    code, _, said = rig.run(loading.folder, loading.url, base_url, "app.workers.initial_loader")
    tally.loaders[code] += 1
    lines = said.splitlines()
    if code != 2 or len(lines) != 1 or "the database does not answer" not in said:
        tally.loader_troubles.append(f"started while it was away: exit {code}: {said[-300:]}")


def _wait_until_well(reads: list[Read], accepting: float) -> None:
    """Wait until every target was answered well once more, for longer than may be needed."""
    while time.monotonic() < accepting + 1.5 * RECOVERED_WITHIN:
        well = {read.target for read in reads[:] if read.begun > accepting and read.status == 200}
        if len(well) == len(TARGETS):
            return
        threading.Event().wait(0.05)


def _judge_reads(reads: list[Read], way: Way, begun: float, accepting: float, tally: Tally) -> None:
    tally.reads += reads
    failed = [read.begun + read.seconds for read in reads if read.status != 200]
    tally.recovered.append(max(0.0, max(failed, default=accepting) - accepting))
    if not reads or min([*failed, begun]) < begun:
        tally.troubles.append("a read failed before anything was disturbed")
    if way.felt and not failed:
        tally.troubles.append("nobody noticed that the server was away")
    for target in TARGETS:
        last = [read.status for read in reads if read.target == target][-1:]
        if last != [200]:
            tally.troubles.append(f"{target}: never well again, {last} at last")


def _stopped(mode: str, away: float) -> Callable[[Postgres, subprocess.Popen[str]], float]:
    def disturb(server: Postgres, loader: subprocess.Popen[str]) -> float:
        server.stop(mode)
        threading.Event().wait(away)
        with suppress(subprocess.TimeoutExpired):
            loader.wait(NOTICED_WITHIN)
        starting = threading.Thread(target=server.start)
        starting.start()
        accepting = _accepts(server)
        starting.join()
        return accepting

    return disturb


def _terminated(server: Postgres, _loader: subprocess.Popen[str]) -> float:
    server.terminate()
    return time.monotonic()


def _accepts(server: Postgres) -> float:
    """The moment from which the server answers."""
    where = f"postgresql://mms@127.0.0.1:{server.port}/postgres"
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            with psycopg.connect(where, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
            return time.monotonic()
        except psycopg.OperationalError:
            threading.Event().wait(0.02)
    raise StoreError("PostgreSQL does not come back")
