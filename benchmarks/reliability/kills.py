"""kill -9 of a loader at a random moment: acknowledged rows stay, and nothing contradicts itself.

The moment is in turn uniform over a whole load from its first request on, and uniform within one of
its write transactions. The first is what happens; the second is where it could hurt. Then the
database must hold a beginning of what an uninterrupted load stores: every row that the loader
reported, each average equal to the mean of the stored closes, and a revision not older than the
reported one. Some databases are killed several times. At last a loader runs to its end: candles and
averages must have the same hash as those of an uninterrupted load.
"""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.market import Interval, Series
from benchmarks.reliability import rig
from benchmarks.reliability.content import Content, content, contradicted, disagreements
from benchmarks.reliability.figures import Figure, Step, figure, no_step

SERIES: Final = Series(rig.BTC, Interval.MINUTE)
MOST_KILLS: Final = 3
"""How often the load of one database is killed at the most, before one runs to its end."""


@dataclass(frozen=True)
class Plan:
    """A load to interrupt: so many days of minutes, a commit after so many pages."""

    days: int
    pages_a_commit: int


SMALL: Final = Plan(days=3, pages_a_commit=1)
"""Ten commits in half a second."""
REAL: Final = Plan(days=30, pages_a_commit=20)
"""Five commits of the size that the loader's command makes."""
EVERY_REAL: Final = 6
"""Each sixth database gets the real plan, which takes several times as long."""

_MOMENTS: Final = {"begin": "while writing", "commit": "in COMMIT", "end": "between commits"}


@dataclass(frozen=True)
class Reference:
    """A load that nobody interrupted: what it stored, and how long it and its transactions took."""

    content: Content
    seconds: float
    transactions: int
    transaction: float


@dataclass
class Tally:
    """What became of the kills."""

    kills: int = 0
    finals: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    disagree: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)


def measure(
    where: rig.Where, runs: int = 200, step: Step = no_step, *, real: bool = True, seed: int = 5
) -> list[Figure]:
    """Kill `runs` loaders on one kind of database."""
    chance = random.Random(seed)
    tally = Tally()
    with rig.exchange() as (stage, base_url), rig.database(where) as db:
        killer = _Killer(db, stage, base_url, chance)
        references: dict[Plan, Reference] = {}
        for number in range(10 * runs):
            if tally.kills >= runs:
                break
            plan = REAL if real and number % EVERY_REAL == 0 else SMALL
            if plan not in references:
                references[plan] = killer.reference(plan)
            killer.one_database(plan, references[plan], tally, runs, step)
    shown = ", ".join(f"{count} {moment}" for moment, count in sorted(tally.moments.items()))
    lost = f"{len(tally.lost)} (killed: {shown})"
    lost_rows = "acknowledged rows lost after kill -9"
    at_odds = "rows, averages or revision in disagreement after kill -9"
    unequal = "final table hash unlike that of an uninterrupted load"
    kills, finals, kind = tally.kills, tally.finals, where.kind
    return [
        figure(lost_rows, kind, kills, lost, tally.lost, least=runs),
        figure(at_odds, kind, kills, str(len(tally.disagree)), tally.disagree, least=runs),
        figure(unequal, kind, finals, str(len(tally.unequal)), tally.unequal),
    ]


@dataclass(frozen=True)
class _Killer:
    db: rig.Database
    stage: rig.Stage
    base_url: str
    chance: random.Random

    def loader(self, plan: Plan) -> rig.Watched:
        """Start a loader; returns when it has asked for its first page."""
        self.db.wait_two_minutes()
        self.stage.asked.clear()
        pages = f"--pages-a-commit={plan.pages_a_commit}"
        child = rig.Watched(
            rig.start_loader(self.db, self.base_url, SERIES.interval, plan.days, pages)
        )
        give_up = time.monotonic() + rig.PATIENCE
        while not self.stage.asked.wait(0.02) and child.process.poll() is None:
            assert time.monotonic() < give_up, "the loader asks for nothing"
        return child

    def to_its_end(self, plan: Plan) -> tuple[float, int, float]:
        """Load what is missing. Returns seconds, transactions, and seconds of the shortest one."""
        child = self.loader(plan)
        with rig.processes([child.process]):
            begun = time.monotonic()
            lengths: list[float] = []
            while child.wait_for("begin", len(lengths) + 1):
                opened = time.monotonic()
                child.wait_for("end", len(lengths) + 1)
                lengths.append(time.monotonic() - opened)
            code, _, said = child.end()
        assert code == 0, said
        # The last transaction writes nothing: it only says that the series was checked.
        writing = lengths[:-1] or lengths
        return time.monotonic() - begun, len(writing), min(writing)

    def reference(self, plan: Plan) -> Reference:
        """Load an empty database without interruption."""
        self.db.empty()
        seconds, transactions, transaction = self.to_its_end(plan)
        return Reference(self.stored(), seconds, transactions, transaction)

    def stored(self) -> Content:
        """What is stored now."""
        return content(self.db.engine, SERIES)

    def one_database(
        self, plan: Plan, reference: Reference, tally: Tally, most: int, step: Step
    ) -> None:
        """Kill one load, perhaps several times, then let it end and compare."""
        self.db.empty()
        left = 1.0
        for _ in range(self.chance.randint(1, MOST_KILLS)):
            if tally.kills >= most:
                break
            moment, told = self._killed(plan, reference, left, aimed=tally.kills % 2 == 1)
            if moment is None:
                break  # it was quicker than expected
            tally.kills += 1
            tally.moments[moment] += 1
            stored = self.stored()
            self.db.wait_two_minutes()
            tally.lost += _lost(stored, reference.content, told)
            tally.disagree += _disagree(stored, reference.content, told)
            tally.disagree += contradicted(self.db.engine, SERIES)
            left = 1 - len(stored.rows) / len(reference.content.rows)
            step()
        self.to_its_end(plan)
        stored = self.stored()
        tally.finals += 1
        if stored.hash != reference.content.hash:
            tally.unequal.append(f"{len(stored.rows)} rows, hash {stored.hash[:16]}")
        tally.disagree += disagreements(stored, SERIES.step)

    def _killed(
        self, plan: Plan, reference: Reference, left: float, *, aimed: bool
    ) -> tuple[str | None, list[dict[str, Any]]]:
        """Kill a loader of which the share `left` of the work is left to do.

        Returns at which moment of its work it died, None where it had ended, and what it had told.
        """
        child = self.loader(plan)
        with rig.processes([child.process]):
            if aimed:
                ahead = max(1, round(reference.transactions * left))
                child.wait_for("begin", self.chance.randint(1, ahead))
                delay = self.chance.uniform(0, reference.transaction)
            else:
                delay = self.chance.uniform(0, reference.seconds * left)
            threading.Event().wait(delay)
            child.process.send_signal(signal.SIGKILL)
            code, lines, said = child.end()
        if code != -signal.SIGKILL:
            assert code == 0, f"exit {code}: {said[-500:]}"
            return None, []
        marks = [line for line in lines if line in _MOMENTS]
        told = [json.loads(line[7:]) for line in lines if line.startswith("stored ")]
        return _MOMENTS[marks[-1] if marks else "end"], told


def _lost(stored: Content, whole: Content, told: list[dict[str, Any]]) -> list[str]:
    """Rows that were acknowledged and are not there."""
    newest = max((item["newest"] for item in told), default=-1)
    there = {row.bucket for row in stored.rows}
    gone = [row.bucket for row in whole.rows if row.bucket <= newest and row.bucket not in there]
    return [f"{len(gone)} rows up to {newest}"] if gone else []


def _disagree(stored: Content, whole: Content, told: list[dict[str, Any]]) -> list[str]:
    """Contradictions inside what is stored, and with what an uninterrupted load stores."""
    troubles = disagreements(stored, SERIES.step)
    if stored.rows != whole.rows[: len(stored.rows)]:
        troubles.append("the rows are no beginning of the uninterrupted load's")
    if stored.checked_at is not None and len(stored.rows) < len(whole.rows):
        troubles.append("an unfinished load counts as checked")
    revision = max((item["revision"] for item in told), default=0)
    if stored.revision < revision:
        troubles.append(f"revision {stored.revision} is older than the reported {revision}")
    return troubles
