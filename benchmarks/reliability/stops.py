"""SIGTERM in a load: it ends soon, exits with the right code, keeps its commits, leaves no lease.

The initial loader's command is stopped in the middle of a load, while the exchange does not answer,
while it waits for the rate limiter, and while it waits for a retry. All cores are kept busy.
"""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import text

from app.core.market import Interval, Series
from app.db.session import reading
from benchmarks.reliability.content import content, disagreements
from benchmarks.reliability.figures import Figure, Step, figure, no_step, spread
from benchmarks.reliability.rig import (
    BTC,
    Database,
    Stage,
    Where,
    busy,
    database,
    end,
    exchange,
    processes,
    start,
)

WITHIN: Final = 5.0
TERMINATED: Final = 128 + signal.SIGTERM
SERIES: Final = Series(BTC, Interval.MINUTE)

SITUATIONS: Final = ("loading", "no answer", "waiting for its turn", "trying again")
LATEST: Final = 1.5
"""Seconds after its first request at the most when a loader is stopped."""


@dataclass
class Tally:
    """What became of the stops."""

    seconds: list[float] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)


def measure(
    where: Where,
    runs: int = 40,
    step: Step = no_step,
    *,
    situations: Sequence[str] = SITUATIONS,
    latest: float = LATEST,
    within: float = WITHIN,
    seed: int = 7,
) -> list[Figure]:
    """Stop `runs` loaders on one kind of database, in every situation in turn."""
    chance = random.Random(seed)
    tally = Tally()
    with busy(), exchange(time.time) as (stage, base_url), database(where) as db:
        for number in range(runs):
            situation = situations[number % len(situations)]
            db.empty()
            stage.asked.clear()
            stage.forget_requests()
            (stage.open.clear if situation == "no answer" else stage.open.set)()
            process = _start(db, base_url, situation)
            with processes([process]):
                if _under_way(db, stage, process, situation):
                    threading.Event().wait(chance.uniform(0, latest))
                    _stop(db, process, situation, tally, within)
                else:
                    tally.troubles.append(f"{situation}: the loader did not begin")
                    process.kill()
                    end(process)
            stage.open.set()
            step()
    codes = ", ".join(f"{code} x {count}" for code, count in sorted(tally.codes.items()))
    return [
        figure(
            f"SIGTERM in a load, cores busy: ends within {within:.0f} s with {TERMINATED}, commits stay, no lease",
            where.kind,
            len(tally.seconds),
            f"{spread(tally.seconds)}; exit {codes}",
            tally.troubles,
            least=runs,
        )
    ]


def _start(db: Database, base_url: str, situation: str) -> subprocess.Popen[str]:
    settings = {"INTERVALS": str(SERIES.interval), "HISTORY_DAYS": "120"}
    if situation == "trying again":
        # A port of ours on which nobody listens: every attempt is refused at once.
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            base_url = f"http://127.0.0.1:{free.getsockname()[1]}/api/v4"
    elif situation == "waiting for its turn":
        settings["MB_REQUESTS_PER_SECOND"] = "0.02"
    return start(db.folder, db.url, base_url, "app.workers.initial_loader", **settings)


def _under_way(db: Database, stage: Stage, process: subprocess.Popen[str], situation: str) -> bool:
    """Wait until the loader is where it is to be stopped; False where it ended before."""
    give_up = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < give_up:
        held = bool(_leases(db))
        if held and (situation == "trying again" or stage.asked.is_set()):
            return True
        threading.Event().wait(0.02)
    return False


def _stop(
    db: Database, process: subprocess.Popen[str], situation: str, tally: Tally, within: float
) -> None:
    begun = time.monotonic()
    process.terminate()
    code, _, said = end(process)
    took = time.monotonic() - begun
    tally.seconds.append(took)
    tally.codes[code] += 1
    stored = content(db.engine, SERIES)
    troubles = disagreements(stored, SERIES.step)
    if took > within:
        troubles.append(f"it took {took:.1f} s")
    if code != TERMINATED:
        troubles.append(f"exit {code}: {said[-300:]}")
    if "terminated; what was committed stays" not in said or "Traceback" in said:
        troubles.append(f"it said: {said[-300:]}")
    if said.count('"candles_loaded"') and not stored.rows:
        troubles.append("what was committed is gone")
    if leases := _leases(db):
        troubles.append(f"{leases} leases are left behind")
    tally.troubles += [f"{situation}: {text}" for text in troubles]


def _leases(db: Database) -> int:
    with reading(db.engine) as connection:
        return int(connection.scalar(text("SELECT count(*) FROM leases")) or 0)
