"""Many loaders of the same series at once. Real commands."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from app.core.market import Interval, Pair, Series
from benchmarks.reliability import rig
from benchmarks.reliability.content import content, contradicted, disagreements
from benchmarks.reliability.figures import Figure, Step, figure, no_step

DAY: Final = Interval.DAY
SERIES: Final = (Series(rig.BTC, DAY), Series(rig.ETH, DAY))


@dataclass
class Tally:
    """What became of the rounds; `asked` counts the requests of each round.

    `again` are requests that a loader itself repeated because they were not answered in time, which
    happens where so many processes begin on few processors.
    """

    rounds: int = 0
    loaded: int = 0
    left: int = 0
    asked: Counter[int] = field(default_factory=Counter)
    most: int = 0
    again: int = 0
    troubles: list[str] = field(default_factory=list)


def measure(
    where: rig.Where, runs: int = 10, step: Step = no_step, *, many: int = 8
) -> list[Figure]:
    """Let `many` loaders begin at once, `runs` times, each time on an empty database."""
    tally = Tally()
    with rig.exchange(time.time) as (stage, base_url), rig.database(where) as db:
        alone, usual = _alone(db, stage, base_url)
        needed = len(stage.requests)
        for _ in range(runs):
            _round(db, stage, base_url, many, tally, usual)
            tally.rounds += 1
            if _hashes(db) != alone:
                tally.troubles.append("the tables are not those that one loader leaves")
            for series in SERIES:
                stored = content(db.engine, series)
                tally.troubles += disagreements(stored, DAY.seconds)
                tally.troubles += contradicted(db.engine, series)
            step()
    requests = ", ".join(f"{n} requests x {count}" for n, count in sorted(tally.asked.items()))
    return [
        figure(
            f"{many} loaders at once: table hash as after one, no candle asked for more often",
            where.kind,
            tally.rounds,
            f"no candle was asked for more than {tally.most} x, as by one alone ({usual} x); that one "
            f"makes {needed} requests, {many}: {requests}; "
            f"{tally.loaded} loads, {tally.left} left to another that had just done it; {tally.again} "
            "requests repeated for want of an answer",
            tally.troubles,
            least=runs,
        )
    ]


def _round(
    db: rig.Database, stage: rig.Stage, base_url: str, many: int, tally: Tally, usual: int
) -> None:
    """Start so many loaders at once on an empty database, and wait for their ends.

    `usual` is how often one loader alone asks for the same candle: once, and again where a request
    begins with the end of the one before.
    """
    db.empty()
    stage.forget_requests()
    names = ",".join(series.pair.legacy for series in SERIES)
    begun: list[subprocess.Popen[str]] = []
    statuses: Counter[str] = Counter()
    again = 0
    with rig.processes(begun):
        for _ in range(many):
            begun.append(
                rig.start(
                    db.folder,
                    db.url,
                    base_url,
                    "app.workers.initial_loader",
                    "--json",
                    ALLOWED_PAIRS=names,
                    HISTORY_DAYS="365",
                )
            )
        for process in begun:
            code, out, said = rig.end(process)
            again += said.count('"upstream_retry"')
            if code != 0:
                tally.troubles.append(f"exit {code}: {said[-300:]}")
            else:
                ends = json.loads(out.splitlines()[-1])["series"]
                statuses.update(item["status"] for item in ends)
    tally.loaded += statuses["ok"]
    tally.left += statuses["taken"]
    tally.asked[len(stage.requests)] += 1
    tally.again += again
    for series in SERIES:
        most = _most_often_asked(stage, series.pair)
        tally.most = max(tally.most, most)
        if most > usual + again:
            tally.troubles.append(f"a candle of {series.pair} was asked for {most} times")


def _most_often_asked(stage: rig.Stage, pair: Pair) -> int:
    """How often the candle that was asked for most often was, the three newest closed ones aside.

    Those every load reads again, to notice that they were revised.
    """
    settled = DAY.last_closed(time.time()) - 3 * DAY.seconds
    times: Counter[int] = Counter()
    for request in stage.requests:
        if request.query.get("symbol") == pair.symbol:
            first, last = int(request.query["from"]), int(request.query["to"])
            times.update(range(first, min(last, settled) + 1, DAY.seconds))
    return max(times.values(), default=0)


def _alone(db: rig.Database, stage: rig.Stage, base_url: str) -> tuple[list[str], int]:
    """What one loader leaves, and how often it asks for one and the same candle."""
    tally = Tally()
    _round(db, stage, base_url, 1, tally, 2)
    assert not tally.troubles, tally.troubles
    return _hashes(db), tally.most


def _hashes(db: rig.Database) -> list[str]:
    return [content(db.engine, series).hash for series in SERIES]
