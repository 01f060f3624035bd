"""Reads while the exchange is away for a day: all of them answered, and marked once they are stale.

An API process runs on a clock that is moved through 24 hours. A loader tries each hour and finds nobody.
Whether a reply must say that it is stale is worked out here from the rule in words: a candle that is not
stored closed longer ago than the grace period (an hour, or the interval where that is shorter), and
nobody has asked the exchange since it closed. The averages of a fixed period must not change by a byte.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlsplit

from app.core.errors import UpstreamUnavailable
from app.core.market import DAY, Interval
from app.core.ports import CandleSource
from app.core.settings import load_settings
from app.db.series import SqlSeriesStore
from app.services.loaders import load_incremental, load_initial
from benchmarks.reliability import rig
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from tests.support.processes import environment
from tests.support.served import Reply, get

INTERVALS: Final = (Interval.DAY, Interval.HOUR, Interval.QUARTER)
HISTORY: Final = 30
AWAY: Final = 24 * 3_600
RETRY: Final = 3_600
SEEN_WITHIN: Final = 0.6
"""Seconds until a process must have noticed a commit, a little more than it promises."""
BESIDES: Final = ("/pairs", "/BRLBTC/gaps", "/health", "/readyz")
"""What has no mark of its own and must be answered all the same."""


@dataclass
class Tally:
    """What the reads said."""

    reads: int = 0
    answered: int = 0
    stale: int = 0
    refused_loads: int = 0
    troubles: list[str] = field(default_factory=list)


@dataclass
class Api:
    """An API process and its clock."""

    connection: HTTPConnection
    process: subprocess.Popen[str]

    def set(self, now: float) -> None:
        """Let it be `now` there."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{now}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "set\n"

    def get(self, target: str) -> Reply:
        """Ask for something."""
        return get(self.connection, target)


def measure(where: rig.Where, runs: int = 288, step: Step = no_step) -> list[Figure]:
    """Read every interval at `runs` moments, equally far apart, of a day without the exchange."""
    tally = Tally()
    clock = [float(rig.NOW)]
    with rig.database(where) as db, rig.exchange(lambda: clock[0]) as (_, base_url):
        there = load_settings(None, mb_api_base_url=base_url)
        gone = load_settings(None, mb_api_base_url=_nobody(), upstream_retry_seconds=0.05)
        with (
            rig.candle_source(there, lambda: clock[0]) as source,
            rig.candle_source(gone, lambda: clock[0]) as nobody,
            _api(_loaded(db, source)) as api,
        ):
            fixed = {target: api.get(target).body for target in _fixed()}
            for number in range(runs):
                before, clock[0] = clock[0], rig.NOW + (number + 1) * AWAY / runs
                api.set(clock[0])
                if before // RETRY != clock[0] // RETRY:
                    _try_to_load(db, nobody, clock[0], tally)
                for interval in INTERVALS:
                    _read(api, interval, clock[0], tally)
                _read_others(api, fixed, tally)
                step()
            _load(db, source, clock[0], load_incremental)
            threading.Event().wait(SEEN_WITHIN)
            for target in (target for interval in INTERVALS for target in _targets(interval)):
                if _stale(api.get(target)):
                    tally.troubles.append(f"{target}: still stale after the exchange came back")
    if not 0 < tally.stale < tally.reads or not tally.refused_loads:
        tally.troubles.append("the day was too short to see anything become stale")
    return [
        figure(
            "reads while the exchange is away for 24 hours: all 200, marked stale after the grace period",
            where.kind,
            tally.reads,
            f"{100 * tally.answered / max(1, tally.reads):.5g} % are 200, {tally.stale:,} of them marked "
            f"stale, {len(tally.troubles)} wrongly; {tally.refused_loads} loads found nobody",
            tally.troubles,
        )
    ]


@contextmanager
def _api(db: rig.Database) -> Iterator[Api]:
    """An API process whose clock stands at NOW."""
    settings = {
        "DB_URL": db.url,
        "PORT": "0",
        "ALLOWED_PAIRS": "BRLBTC",
        "INTERVALS": ",".join(interval.value for interval in INTERVALS),
        "HISTORY_DAYS": str(HISTORY),
        "ACCESS_LOG": "off",
        "LOG_LEVEL": "ERROR",
    }
    with (
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.reliability.clocked"],
            cwd=db.folder,
            env=environment(db.folder, **settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child,
        rig.processes([child]),
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{rig.NOW}\n")
        child.stdin.flush()
        ready, _, url = child.stdout.readline().strip().partition(" ")
        assert ready == "ready", "the API does not begin to serve"
        parts = urlsplit(url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=rig.PATIENCE)
        with closing(connection):
            yield Api(connection, child)
        child.terminate()
        assert child.wait(rig.PATIENCE) == 0


def _nobody() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/api/v4"


def _loaded(db: rig.Database, source: CandleSource) -> rig.Database:
    _load(db, source, rig.NOW, load_initial)
    return db


def _load(db: rig.Database, source: CandleSource, now: float, loader: Any) -> None:
    store = SqlSeriesStore(db.engine)
    for interval in INTERVALS:
        loader(store, source, lambda: now, rig.BTC, interval, history_days=HISTORY)


def _try_to_load(db: rig.Database, source: CandleSource, now: float, tally: Tally) -> None:
    try:
        _load(db, source, now, load_incremental)
    except UpstreamUnavailable:
        tally.refused_loads += 1
    else:
        tally.troubles.append("a load succeeded without an exchange")


def _targets(interval: Interval) -> list[str]:
    return [
        f"/BRLBTC/{what}{sign}interval={interval}"
        for what, sign in (("mms?range=20", "&"), ("candles", "?"), ("mms?range=200", "&"))
    ]


def _fixed() -> list[str]:
    """Questions whose answers cannot change while nothing is loaded."""
    period = f"from={rig.NOW - HISTORY * DAY}&to={rig.NOW - DAY}"
    return [f"/BRLBTC/mms?range=20&interval={interval}&{period}" for interval in INTERVALS]


def _read(api: Api, interval: Interval, now: float, tally: Tally) -> None:
    wanted = _must_be_stale(interval, now)
    for target in _targets(interval):
        answer = api.get(target)
        stale = _stale(answer)
        tally.reads += 1
        tally.answered += answer.status == 200
        tally.stale += stale
        if answer.status != 200 or stale != wanted:
            tally.troubles.append(
                f"{target} {now - rig.NOW:.0f} s on: {answer.status}, stale {stale}, must be {wanted}"
            )


def _read_others(api: Api, fixed: dict[str, bytes], tally: Tally) -> None:
    for target in (*fixed, *BESIDES):
        answer = api.get(target)
        tally.reads += 1
        tally.answered += answer.status == 200
        tally.stale += _stale(answer)
        if answer.status != 200:
            tally.troubles.append(f"{target}: {answer.status}")
        elif answer.body != fixed.get(target, answer.body) or answer.body in (b"", b"[]"):
            tally.troubles.append(f"{target}: other numbers than before")


def _stale(answer: Reply) -> bool:
    return answer.headers.get("x-data-stale") == "true"


def _must_be_stale(interval: Interval, now: float) -> bool:
    """Whether a candle that closed after the load, at NOW, has been closed for the grace period."""
    step = interval.seconds
    grace = min(3_600, step)
    next_close = (rig.NOW // step + 1) * step
    return now >= next_close + grace
