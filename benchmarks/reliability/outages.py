"""PostgreSQL goes away under read load, and comes back: what readers and loaders meet meanwhile.

A server of its own is stopped politely, stopped as by a crash, and made to end every connection, while
readers ask an API process without pause. A loader is at work each time.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

import psycopg

from app.core.errors import StoreError
from app.core.market import Interval
from app.core.settings import load_settings
from app.db.series import SqlSeriesStore
from app.services.loaders import load_initial
from benchmarks.reliability.content import content, disagreements
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.rig import (
    BTC,
    Database,
    Where,
    api,
    candle_source,
    end,
    exchange,
    opened,
    postgres_server,
    processes,
    start,
)
from tests.support.postgres import Postgres
from tests.support.processes import Server

RECOVERED_WITHIN: Final = 10.0
ANSWERED_WITHIN: Final = 2.5
READERS: Final = 4
AWAY: Final = 3.0
"""Seconds for which the server stays stopped, and of reads after it accepts again."""

TARGETS: Final = (
    "/BRLBTC/mms?range=20",
    "/BRLBTC/candles?windows=20,50,200",
    "/pairs",
    "/BRLBTC/gaps",
    "/readyz",
)


@dataclass(frozen=True, slots=True)
class Read:
    """One request: when it began, how long it took, its status, 0 where there was no answer."""

    begun: float
    seconds: float
    status: int
    target: str


@dataclass
class Tally:
    """What the readers and the loaders met."""

    reads: list[Read] = field(default_factory=list)
    recovered: list[float] = field(default_factory=list)
    loaders: Counter[int] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    loader_troubles: list[str] = field(default_factory=list)


def measure(
    where: Where, runs: int = 6, step: Step = no_step, *, away: float = AWAY
) -> list[Figure]:
    """Disturb PostgreSQL `runs` times, in every way in turn, without and with a cache in front."""
    if where.kind != "postgres":
        return []
    tally = Tally()
    ways: list[Callable[[Postgres], float]] = [
        _stopped("fast", away),
        _stopped("immediate", away),
        _terminated,
    ]
    with (
        exchange(time.time) as (stage, base_url),
        postgres_server() as server,
        opened(where.kind, server.create()) as served,
        opened(where.kind, server.create()) as loading,
    ):
        _load_days(served, base_url)
        for number in range(runs):
            cache = "none://" if number // len(ways) % 2 == 0 else "memory://"
            already = len(tally.reads)
            with ExitStack() as stack:
                settings = {"DB_URL": served.url, "CACHE_URL": cache}
                server_of_api = stack.enter_context(api(served.folder, **settings))
                stage.asked.clear()
                loader = _loader(loading, base_url)
                stack.enter_context(processes([loader]))
                assert stage.asked.wait(60), "the loader asks for nothing"
                with _readers(server_of_api, tally):
                    threading.Event().wait(1.0)
                    accepting = ways[number % len(ways)](server)
                    threading.Event().wait(away)
                tally.recovered.append(_last_failure(tally.reads[already:], accepting))
                _judge_loader(loader, loading, tally)
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


def _load_days(served: Database, base_url: str) -> None:
    settings = load_settings(None, mb_api_base_url=base_url)
    with candle_source(settings, time.time) as source:
        store = SqlSeriesStore(served.engine)
        load_initial(store, source, time.time, BTC, Interval.DAY, history_days=365)


def _loader(loading: Database, base_url: str) -> subprocess.Popen[str]:
    """A loader that is at work for longer than the disturbance takes."""
    loading.empty()
    loading.engine.dispose()  # whose connections are about to be ended
    return start(
        loading.folder,
        loading.url,
        base_url,
        "app.workers.initial_loader",
        INTERVALS="1m",
        HISTORY_DAYS="120",
        MB_REQUESTS_PER_SECOND="25",
    )


def _judge_loader(process: subprocess.Popen[str], loading: Database, tally: Tally) -> None:
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.terminate()  # it was not hit, and has much left to load
    code, out, said = end(process)
    tally.loaders[code] += 1
    if code not in (0, 1, 143) or "Traceback" in said:
        tally.loader_troubles.append(f"exit {code}: {said[-300:]}")
    if code == 1 and "the database does not answer" not in out:
        tally.loader_troubles.append(f"no clear line: {out[-300:]}")
    found = content(loading.engine, BTC, Interval.MINUTE)
    tally.loader_troubles += disagreements(found, Interval.MINUTE.seconds)


def _judge_start(loading: Database, base_url: str, tally: Tally) -> None:
    """A loader that begins while the database is away cannot start, and says why in one line."""
    process = start(loading.folder, loading.url, base_url, "app.workers.initial_loader")
    with processes([process]):
        code, _, said = end(process)
    tally.loaders[code] += 1
    lines = said.splitlines()
    if code != 2 or len(lines) != 1 or "the database does not answer" not in said:
        tally.loader_troubles.append(f"started while it was away: exit {code}: {said[-300:]}")


@contextmanager
def _readers(server: Server, tally: Tally) -> Iterator[None]:
    """Ask without pause until the block ends."""
    over = threading.Event()

    def ask(number: int) -> None:
        found: list[Read] = []
        while not over.is_set():
            target = TARGETS[(number + len(found)) % len(TARGETS)]
            begun = time.monotonic()
            try:
                status = server.ask("GET", target)[0]
            except OSError:
                status = 0
            found.append(Read(begun, time.monotonic() - begun, status, target))
        tally.reads.extend(found)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _last_failure(reads: list[Read], accepting: float) -> float:
    failed = [read.begun + read.seconds for read in reads if read.status != 200]
    return max(0.0, max(failed, default=accepting) - accepting)


def _stopped(mode: str, away: float) -> Callable[[Postgres], float]:
    def disturb(server: Postgres) -> float:
        server.stop(mode)
        threading.Event().wait(away)
        starting = threading.Thread(target=server.start)
        starting.start()
        accepting = _accepts(server)
        starting.join()
        return accepting

    return disturb


def _terminated(server: Postgres) -> float:
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
