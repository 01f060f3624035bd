"""The drill: each part is taken away and given back, under load, while candles arrive."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import text

from app.core.market import Pair
from app.db.database import open_engine
from app.db.session import reading
from benchmarks.reliability.rig import end, processes, start
from benchmarks.topology.load import Wrk
from benchmarks.topology.market import PAIRS, Market
from benchmarks.topology.reader import Reader
from benchmarks.topology.results import Result, Step, judged, lateness
from benchmarks.topology.stack import Stack

RECOVERED_WITHIN: Final = 90.0
"""Seconds; a connection to the primary is replaced after sixty."""

_REVISIONS: Final = text("SELECT pair, revision FROM series")
_TRIES: Final = 30


def _kill_the_other(stack: Stack) -> None:
    first, second = stack.apis
    first.start()
    second.kill()
    second.start()


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
    Step(
        "api",
        "`kill -9` of one API process, then of the other",
        lambda stack: stack.apis[0].kill(),
        _kill_the_other,
    ),
    Step("deploy", "each API process stopped and started in turn", _deploy),
    Step(
        "cache",
        "`kill -9` of a memcached node",
        lambda stack: stack.ring[0].kill(),
        lambda stack: stack.ring[0].start(),
    ),
    Step("primary", "the primary restarted", _restart_primary),
    Step(
        "replica",
        "the replica stopped",
        lambda stack: stack.replica.stop("fast"),
        lambda stack: stack.replica.start(),
    ),
    Step(
        "hung",
        "the replica held by SIGSTOP",
        lambda stack: stack.replica.hold(),
        lambda stack: stack.replica.go_on(),
    ),
)


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
        tried = len(self.stack.tries())
        with ThreadPoolExecutor(1) as pool:
            time.sleep(seconds / 4)
            # A load is under way while it happens, one while it lasts, and one after it.
            loading = pool.submit(self.load)
            step.breaks(self.stack)
            loading.result()
            self.load()
            step.mends(self.stack)
            self.load()
        troubles = self._recovered()
        time.sleep(max(seconds / 4, begun + seconds - time.time()))
        load = wrk.end()
        through = [read for reader in self.through for read in reader.reads if read.begun >= begun]
        direct = [read for reader in self.direct for read in reader.reads if read.begun >= begun]
        failed = [read.failed for read in through if read.failed]
        wrong = [read.wrong for read in [*through, *direct] if read.wrong]
        return judged(
            Result(
                step,
                load,
                len(through) + len(direct),
                load.failed + len(failed),
                len(wrong),
                max((lateness(self.commits, read) for read in [*through, *direct]), default=0.0),
                max((read.seconds for read in through), default=0.0),
                sum("," in status for _, status in self.stack.tries()[tried:]),
                [*troubles, *failed, *wrong],
            )
        )

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

    def _recovered(self) -> list[str]:
        give_up = time.monotonic() + RECOVERED_WITHIN
        while not (
            all(api.healthy() for api in self.stack.apis) and self.stack.reads_from_replica()
        ):
            if time.monotonic() > give_up:
                return [f"not all is well {RECOVERED_WITHIN:.0f} s after it was mended"]
            time.sleep(0.1)
        return []
