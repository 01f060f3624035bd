"""Eight processes at one host share one rate limiter, and pause together when the host says so.

Turns are judged by what the rate limiter wrote, which a trigger notes; requests by their arrival.
"""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sqlalchemy import Connection, Engine, text

from app.db.session import SQLITE, reading, transaction
from app.sources.local_rate_limiter import USED
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.rig import (
    Database,
    Stage,
    Where,
    database,
    end,
    exchange,
    processes,
    start,
)

PROCESSES: Final = 8
EVERY: Final = 10
"""Every so many requests the exchange demands a pause, in seconds or as a date."""

PAUSE: Final = 3
_SECOND: Final = 1_000_000

_SQLITE: Final = (
    "CREATE TABLE noted (id INTEGER PRIMARY KEY, next_at BIGINT, closed_until BIGINT)",
    "CREATE TRIGGER note AFTER UPDATE ON gates BEGIN INSERT INTO noted (next_at, closed_until) "
    "VALUES (new.next_at, new.closed_until); END",
)
_POSTGRES: Final = (
    "CREATE TABLE noted (id BIGSERIAL PRIMARY KEY, next_at BIGINT, closed_until BIGINT)",
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO noted "
    "(next_at, closed_until) VALUES (new.next_at, new.closed_until); RETURN new; END $$",
    "CREATE TRIGGER note AFTER UPDATE ON gates FOR EACH ROW EXECUTE FUNCTION note()",
)


@dataclass(frozen=True)
class Turn:
    """A turn, in seconds by the rate limiter's clock, and until when it was closed at that time."""

    at: float
    closed_until: float


def measure(
    where: Where, runs: int = 64, step: Step = no_step, *, rate: float = 1.0, arrivals: bool = True
) -> list[Figure]:
    """Let eight processes ask `runs` questions in all at `rate` a second.

    Without `arrivals` only the turns are judged: on a machine that stalls, two requests may arrive
    together.
    """
    questions = math.ceil(runs / PROCESSES)
    troubles: list[str] = []
    with exchange(time.time) as (stage, base_url), database(where) as db:
        _note_turns(db.engine)
        pleas = questions * PROCESSES // EVERY
        for number in range(pleas):
            form = PAUSE if number % 2 else f"date+{PAUSE}"
            stage.faults.add(
                f"status=429,retry-after={form},after={(number + 1) * EVERY - 1},times=1"
            )
        _ask(db, base_url, rate, questions, troubles)
        turns = _turns(db.engine, rate)
        step()
        pauses = _pauses(stage, pleas)
    arrived = [request.at for request in stage.requests]
    sent = [b.at - a.at for a, b in pairwise(turns)]
    between = [b - a for a, b in pairwise(sorted(arrived))]
    inside = sum(turn.at < turn.closed_until for turn in turns)
    too_soon = sum(begin < at < over for begin, over in pauses for at in arrived)
    if len(turns) != len(arrived):
        troubles.append(f"{len(arrived)} requests arrived, {len(turns)} turns were taken")
    if len({turn.closed_until for turn in turns} - {0.0}) != len(pauses):
        troubles.append("not every pause that was asked for became a closure")
    if inside or min(sent, default=0.0) < 1 / rate:
        troubles.append(
            f"{inside} turns in a pause, the closest two {min(sent, default=0.0):.3f} s apart"
        )
    if arrivals and (too_soon or min(between, default=0.0) < 1 / rate):
        troubles.append(
            f"{too_soon} arrivals in a pause, {sum(b < 1 / rate for b in between)} too close"
        )
    return [
        figure(
            f"{PROCESSES} processes, {rate:g} requests a second: none beyond, none in a Retry-After",
            where.kind,
            len(turns),
            f"{inside} turns and {too_soon} arrivals in {len(pauses)} pauses; turns at least "
            f"{min(sent, default=0.0):.3f} s apart, arrivals {min(between, default=0.0):.3f} s, "
            f"{sum(b < 1 / rate for b in between)} of them closer than {1 / rate:g} s",
            troubles,
            least=runs,
        )
    ]


def _ask(db: Database, base_url: str, rate: float, questions: int, troubles: list[str]) -> None:
    begun: list[subprocess.Popen[str]] = []
    settings = {"MB_REQUESTS_PER_SECOND": str(rate), "UPSTREAM_RETRY_SECONDS": "3600"}
    asker = ("benchmarks.reliability.asker", str(questions))
    with processes(begun):
        for _ in range(PROCESSES):
            begun.append(start(db.folder, db.url, base_url, *asker, **settings))
        for process in begun:
            code, _, said = end(process)
            if code or "Traceback" in said:
                troubles.append(f"exit {code}: {said[-300:]}")


def _note_turns(engine: Engine) -> None:
    with transaction(engine) as connection:
        for statement in _SQLITE if engine.dialect.name == SQLITE else _POSTGRES:
            connection.execute(text(statement))


def _turns(engine: Engine, rate: float) -> list[Turn]:
    period = math.ceil(_SECOND / (rate * USED))
    with reading(engine) as connection:
        rows = _noted(connection)
    begun = [0, *(next_at for next_at, _ in rows)]
    return [
        Turn((next_at - period) / _SECOND, closed / _SECOND)
        for before, (next_at, closed) in zip(begun, rows, strict=False)
        if next_at != before
    ]


def _noted(connection: Connection) -> Sequence[tuple[int, int]]:
    rows = connection.execute(text("SELECT next_at, closed_until FROM noted ORDER BY id"))
    return [(row[0], row[1]) for row in rows]


def _pauses(stage: Stage, pleas: int) -> list[tuple[float, float]]:
    """From when to when the exchange asked for peace; a date names whole seconds."""
    refused = [stage.requests[number].at for number in range(EVERY - 1, len(stage.requests), EVERY)]
    return [
        (at, at + PAUSE if number % 2 else math.floor(at + PAUSE))
        for number, at in enumerate(refused[:pleas])
    ]
