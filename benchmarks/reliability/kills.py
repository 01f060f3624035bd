"""kill -9 of a loader at a random moment: what was acknowledged stays, and nothing contradicts itself.

A loader is started, and killed after a time that is uniform over what a whole load takes from its first
request on. Then the database must hold a beginning of what an uninterrupted load gives: every row that
the loader said was stored, no other, each average equal to the mean of the stored closes, and a revision
that is not older than the one reported. Some databases are killed at several times. At last a loader
runs to its end, and candles and averages must hash to the same as those of a load that was never
interrupted.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.market import Interval
from benchmarks.reliability.content import Content, content, contradicted, disagreements
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.rig import (
    BTC,
    NOW,
    PATIENCE,
    Database,
    Stage,
    database,
    end,
    exchange,
    processes,
    start,
)

INTERVAL: Final = Interval.MINUTE
MOST_KILLS: Final = 3
"""How often the load of one database is killed at the most, before one runs to its end."""


@dataclass(frozen=True)
class Plan:
    """A load to interrupt: so many days of minutes, a commit after so many pages."""

    days: int
    pages_a_commit: int


SMALL: Final = Plan(days=3, pages_a_commit=1)
"""Ten commits in half a second: most kills hit one."""
REAL: Final = Plan(days=30, pages_a_commit=20)
"""Five commits of the size that the loader's command makes."""
EVERY_REAL: Final = 5
"""Each fifth database gets the real plan."""


@dataclass(frozen=True)
class Reference:
    """A load that nobody interrupted: what it stored, and how long it took from its first request."""

    content: Content
    seconds: float


@dataclass
class Tally:
    """What became of the kills."""

    kills: int = 0
    too_late: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    disagree: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    finals: int = 0


def measure(
    kind: str, runs: int = 200, step: Step = no_step, *, real: bool = True, seed: int = 5
) -> list[Figure]:
    """Kill `runs` loaders on one kind of database."""
    chance = random.Random(seed)
    tally = Tally()
    with exchange() as (stage, base_url), database(kind) as db:
        rig = _Rig(db, stage, base_url)
        references: dict[Plan, Reference] = {}
        for number in range(10 * runs):
            if tally.kills >= runs:
                break
            plan = REAL if real and number % EVERY_REAL == 0 else SMALL
            if plan not in references:
                references[plan] = rig.reference(plan)
            rig.one_database(plan, references[plan], chance, tally, runs, step)
    shown = ", ".join(f"{count} {moment}" for moment, count in sorted(tally.moments.items()))
    return [
        figure(
            "acknowledged rows lost after kill -9",
            kind,
            tally.kills,
            f"{len(tally.lost)} (kills: {shown})",
            tally.lost,
            least=runs,
        ),
        figure(
            "rows, averages or revision in disagreement after kill -9",
            kind,
            tally.kills,
            str(len(tally.disagree)),
            tally.disagree,
            least=runs,
        ),
        figure(
            "hash after the load's end unlike an uninterrupted load's",
            kind,
            tally.finals,
            str(len(tally.unequal)),
            tally.unequal,
        ),
    ]


@dataclass(frozen=True)
class _Rig:
    db: Database
    stage: Stage
    base_url: str

    def loader(self, plan: Plan) -> subprocess.Popen[str]:
        """Start a loader."""
        self.stage.asked.clear()
        return start(
            self.db.folder,
            self.db.url,
            self.base_url,
            "benchmarks.reliability.loader",
            f"--now={NOW}",
            f"--days={plan.days}",
            f"--pages-a-commit={plan.pages_a_commit}",
            INTERVALS=INTERVAL.value,
        )

    def to_its_end(self, plan: Plan) -> float:
        """Load what is missing; returns the seconds from the first request on."""
        self.db.end_leases()
        process = self.loader(plan)
        with processes([process]):
            begun = self._first_request(process)
            code, _, said = end(process)
        assert code == 0, said
        return time.monotonic() - begun

    def reference(self, plan: Plan) -> Reference:
        """Load an empty database without interruption."""
        self.db.empty()
        seconds = self.to_its_end(plan)
        return Reference(self.found(), seconds)

    def found(self) -> Content:
        """What is stored now."""
        return content(self.db.engine, BTC, INTERVAL)

    def one_database(
        self,
        plan: Plan,
        reference: Reference,
        chance: random.Random,
        tally: Tally,
        most: int,
        step: Step,
    ) -> None:
        """Kill one load, perhaps several times, then let it end and compare."""
        self.db.empty()
        left = 1.0
        for _ in range(chance.randint(1, MOST_KILLS)):
            if tally.kills >= most:
                break
            self.db.end_leases()
            moment, told = self._killed(plan, chance.uniform(0, reference.seconds * left))
            if moment is None:
                tally.too_late += 1
                break
            tally.kills += 1
            tally.moments[moment] += 1
            found = self.found()
            tally.lost += _lost(found, reference.content, told)
            tally.disagree += _disagree(found, reference.content, told)
            tally.disagree += contradicted(self.db.engine, BTC, INTERVAL)
            left = 1 - len(found.rows) / len(reference.content.rows)
            step()
        self.to_its_end(plan)
        found = self.found()
        tally.finals += 1
        if found.hash != reference.content.hash:
            tally.unequal.append(f"{len(found.rows)} rows, hash {found.hash[:16]}")
        tally.disagree += disagreements(found, INTERVAL.seconds)

    def _killed(self, plan: Plan, delay: float) -> tuple[str | None, list[dict[str, Any]]]:
        """Kill a loader `delay` seconds after its first request.

        Returns in which part of its work it died, None where it had ended, and what it had told.
        """
        process = self.loader(plan)
        with processes([process]):
            self._first_request(process)
            threading.Event().wait(delay)
            process.send_signal(signal.SIGKILL)
            code, out, said = end(process)
        if code != -signal.SIGKILL:
            assert code == 0, said
            return None, []
        told = [json.loads(line.removeprefix("stored ")) for line in _lines(out, "stored ")]
        marks = [line for line in out.splitlines() if line in _MOMENTS]
        return _MOMENTS[marks[-1] if marks else "end"], told

    def _first_request(self, process: subprocess.Popen[str]) -> float:
        give_up = time.monotonic() + PATIENCE
        while not self.stage.asked.wait(0.02):
            if process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError(f"the loader asked for nothing: {end(process)[2][-500:]}")
        return time.monotonic()


_MOMENTS: Final = {
    "begin": "writing",
    "commit": "committing",
    "end": "fetching",
}


def _lines(out: str, beginning: str) -> list[str]:
    # The last line may have been cut off by the kill.
    return [line for line in out.splitlines() if line.startswith(beginning) and line.endswith("}")]


def _lost(found: Content, whole: Content, told: list[dict[str, Any]]) -> list[str]:
    """Rows that were acknowledged and are not there."""
    newest = max((item["newest"] for item in told), default=-1)
    there = {row.bucket for row in found.rows}
    gone = [row.bucket for row in whole.rows if row.bucket <= newest and row.bucket not in there]
    return [f"{len(gone)} rows up to {newest}"] if gone else []


def _disagree(found: Content, whole: Content, told: list[dict[str, Any]]) -> list[str]:
    """Contradictions inside what is stored, and with what an uninterrupted load stores."""
    troubles = disagreements(found, INTERVAL.seconds)
    if found.rows != whole.rows[: len(found.rows)]:
        troubles.append("the rows are no beginning of the uninterrupted load's")
    if found.checked_at is not None and len(found.rows) < len(whole.rows):
        troubles.append("an unfinished load counts as checked")
    revision = max((item["revision"] for item in told), default=0)
    if found.revision < revision:
        troubles.append(f"revision {found.revision} is older than the reported {revision}")
    return troubles
