"""The drill: one part after the other is taken away and given back, under load, while candles arrive."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import text

from app.core.market import DAY as SECONDS
from app.core.market import Pair
from app.db.session import open_engine, reading
from benchmarks.reliability.rig import end, processes, start
from benchmarks.topology.load import Load, Wrk
from benchmarks.topology.market import PAIRS, Market
from benchmarks.topology.reader import Read, Reader
from benchmarks.topology.stack import Stack
from tests.support.memcached import Memcached

SERVED_WITHIN: Final = 3.0
"""Seconds after a commit from which on nobody may serve what was before it."""

FEWEST: Final = 100
"""Reads that are compared in one step; fewer prove nothing."""

RECOVERED_WITHIN: Final = 60.0

_REVISIONS: Final = text("SELECT pair, revision FROM series")
_TRIES: Final = 30


@dataclass(frozen=True)
class Step:
    """What is done to the topology: `breaks` takes something away, `mends` gives it back."""

    key: str
    name: str
    breaks: Callable[[Stack], None] = lambda _stack: None
    mends: Callable[[Stack], None] = lambda _stack: None


def _restart_api(stack: Stack) -> None:
    stack.apis[0].start()


def _deploy(stack: Stack) -> None:
    for api in stack.apis:
        code = api.stop()
        assert code == 0, f"an API process ended with {code}"
        api.start()


def _restart_primary(stack: Stack) -> None:
    stack.primary.stop("fast")
    stack.primary.start()


STEPS: Final = (
    Step("calm", "nothing is disturbed"),
    Step("api", "`kill -9` of an API process", lambda s: s.apis[0].kill(), _restart_api),
    Step("deploy", "each API process stopped and started in turn", _deploy),
    Step(
        "cache",
        "`kill -9` of a memcached node",
        lambda s: s.ring[0].kill(),
        lambda s: s.ring[0].start(),
    ),
    Step("primary", "the primary restarted", _restart_primary),
    Step(
        "replica",
        "the replica stopped",
        lambda s: s.replica.stop("fast"),
        lambda s: s.replica.start(),
    ),
    Step(
        "hung",
        "the replica held by SIGSTOP",
        lambda s: s.replica.hold(),
        lambda s: s.replica.go_on(),
    ),
)


@dataclass
class Result:
    """What one step gave. `late` is the longest time after a commit at which something older was served."""

    step: Step
    load: Load
    reads: int
    failed: int
    wrong: int
    late: float
    slowest: float
    retried: int
    ring_hits: int
    ring_gets: int
    loads: int
    troubles: list[str] = field(default_factory=list)


class RingCounter:
    """Hits and questions of all nodes, as they count them; a node that starts anew counts anew."""

    def __init__(self, nodes: Sequence[Memcached]) -> None:
        self._nodes = nodes
        self._seen = [(0, 0)] * len(nodes)
        self._total = (0, 0)

    def count(self) -> tuple[int, int]:
        """How many until now; a node that is away is counted the next time."""
        for number, node in enumerate(self._nodes):
            try:
                found = node.stats()
            except OSError:
                continue
            now, seen = (found["get_hits"], found["cmd_get"]), self._seen[number]
            base = seen if now[1] >= seen[1] else (0, 0)
            self._total = (
                self._total[0] + now[0] - base[0],
                self._total[1] + now[1] - base[1],
            )
            self._seen[number] = now
        return self._total


@dataclass
class Drill:
    """What the steps share: the readers, and when each version was committed."""

    stack: Stack
    market: Market
    through: Sequence[Reader]
    """Readers that go through nginx: none of their reads may fail."""
    direct: Sequence[Reader]
    """Readers of one process each, which may be away."""
    paths: Sequence[str]
    ring: RingCounter
    commits: dict[Pair, dict[int, float]] = field(default_factory=lambda: {p: {} for p in PAIRS})

    def load_history(self) -> None:
        """The first load, with the real loader."""
        self._loader("app.workers.initial_loader")

    def settle(self) -> None:
        """Wait until everything is in use. Raises AssertionError where that does not come."""
        troubles = self._recovered()
        assert not troubles, troubles

    def run(self, step: Step, seconds: float) -> Result:
        """One step, in which three versions are loaded."""
        wrk = Wrk(self.stack.programs.wrk, self.stack.url, self.paths)
        try:
            return self._run(step, seconds, wrk)
        finally:
            wrk.close()

    def _run(self, step: Step, seconds: float, wrk: Wrk) -> Result:
        begun = time.time()
        tried, before = len(self.stack.tries()), self.ring.count()
        with ThreadPoolExecutor(1) as pool:
            time.sleep(seconds / 4)
            # A load is under way while it happens, one while it lasts, and one after it.
            loading = pool.submit(self.load)
            self.ring.count()  # what a node has counted goes with it
            step.breaks(self.stack)
            loading.result()
            self.load()
            step.mends(self.stack)
            self.load()
        troubles = self._recovered()
        time.sleep(max(seconds / 4, begun + seconds - time.time()))
        load = wrk.end()
        hits, gets = (now - then for now, then in zip(self.ring.count(), before, strict=True))
        through = [read for reader in self.through for read in reader.reads if read.begun >= begun]
        direct = [read for reader in self.direct for read in reader.reads if read.begun >= begun]
        troubles += [read.failed for read in through if read.failed]
        troubles += [read.wrong for read in [*through, *direct] if read.wrong]
        result = Result(
            step,
            load,
            len(through) + len(direct),
            load.failed + sum(bool(read.failed) for read in through),
            sum(bool(read.wrong) for read in [*through, *direct]),
            max(map(self._late, [*through, *direct]), default=0.0),
            max((read.seconds for read in through), default=0.0),
            sum("," in status for _, status in self.stack.tries()[tried:]),
            hits,
            gets,
            3,
            troubles,
        )
        return _judged(result)

    def load(self) -> None:
        """Let a day out and load it, however often that has to be tried."""
        self.market.advance()
        self._loader("app.workers.incremental_loader")

    def _loader(self, module: str) -> None:
        for _ in range(_TRIES):
            process = start(
                self.stack.folder,
                self.stack.db_url,
                self.stack.base_url,
                module,
                "--json",
                ALLOWED_PAIRS="BRLBTC,BRLETH",
            )
            with processes([process]):
                code, out, said = end(process)
            if code == 0:
                self._note_commits()
                return
            # The primary may be away just now; whoever runs the loader runs it again.
            time.sleep(0.5)
        raise AssertionError(f"the loader ends with {code}: {out[-300:]}{said[-300:]}")

    def _note_commits(self) -> None:
        """When the newest version was committed, to the millisecond: its revision says it."""
        engine = open_engine(self.stack.db_url)
        with reading(engine) as connection:
            for symbol, revision in connection.execute(_REVISIONS):
                self.commits[Pair.parse(symbol)][self.market.newest] = (revision >> 20) / 1000
        engine.dispose()

    def _late(self, read: Read) -> float:
        """For how long the version that the read shows had been out of date when it began."""
        if read.pair is None or read.newest is None:
            return 0.0
        replaced = self.commits[read.pair].get(read.newest + SECONDS)
        return 0.0 if replaced is None else max(0.0, read.begun - replaced)

    def _recovered(self) -> list[str]:
        give_up = time.monotonic() + RECOVERED_WITHIN
        while not all(api.healthy() for api in self.stack.apis):
            if time.monotonic() > give_up:
                return [f"not all is well {RECOVERED_WITHIN:.0f} s after it was mended"]
            time.sleep(0.1)
        return []


def _judged(result: Result) -> Result:
    if result.reads < FEWEST or result.load.requests < FEWEST:
        result.troubles.append(f"only {result.reads} reads and {result.load.requests} requests")
    if result.late > SERVED_WITHIN:
        result.troubles.append(f"older data was served {result.late:.1f} s after a commit")
    if result.load.failed:
        result.troubles.append(f"wrk counts {result.load.failed} failures")
    return result


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table, with the troubles beneath it."""
    head = (
        "step",
        "requests",
        "per second",
        "failed reads",
        "wrong bodies",
        "newest everywhere after",
        "slowest read",
        "asked twice by nginx",
        "ring hits",
    )
    rows = [
        (
            r.step.name,
            f"{r.load.requests + r.reads:,}",
            f"{r.load.requests / r.load.seconds:,.0f}",
            str(r.failed),
            str(r.wrong),
            f"{r.late:.2f} s",
            f"{r.slowest:.2f} s",
            str(r.retried),
            f"{r.ring_hits} of {r.ring_gets}",
        )
        for r in results
    ]
    lines = [" | ".join(row) for row in [head, ("---", *["---:"] * 8), *rows]]
    troubles = [f"{r.step.name}: {trouble}" for r in results for trouble in r.troubles[:5]]
    return "\n".join([*(f"| {line} |" for line in lines), *troubles])


def as_json(results: Sequence[Result], kept: bool) -> str:
    """One line of JSON."""
    steps: list[dict[str, Any]] = [
        {**vars(r), "step": r.step.key, "load": vars(r.load)} for r in results
    ]
    return json.dumps({"kept": kept, "steps": steps}, separators=(",", ":"))
