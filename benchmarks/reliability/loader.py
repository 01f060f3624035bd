"""The initial loader as its own process, with a fixed clock and visible transactions.

It loads as `app.workers.initial_loader` does: the same lease, loading and store. Standard output
says `begin` where a transaction opens, `commit` before its commit, `end` after it, and after each
commit what was stored, as the loader reports it. Settings come from the environment, as everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from app import bootstrap
from app.commands.command import command_parser, run
from app.core.market import Series
from app.core.ports import SeriesStore, SeriesUnit
from app.core.settings import Settings
from app.events.types import CandlesLoaded, Event
from app.services.loading import PAGES_A_COMMIT, LoadReport, OnPage, Plan, load, plan_load
from app.workers import loads, outcomes


class Marked:
    """A store that says where its transactions begin and end."""

    def __init__(self, store: SeriesStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def begin(self, series: Series) -> Iterator[SeriesUnit]:
        """See SeriesStore.begin."""
        say("begin")
        with self._store.begin(series) as unit:
            yield unit
            say("commit")
        say("end")


def main() -> int:
    """Load every configured series once. Exits as the loaders' commands do."""
    parser = command_parser("python -m benchmarks.reliability.loader", __doc__)
    parser.add_argument("--now", type=float, required=True)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--pages-a-commit", type=int, default=PAGES_A_COMMIT)
    return run("loader", parser, None, _load)


def _load(settings: Settings, options: argparse.Namespace) -> int:
    selection = [
        Series(pair, interval) for interval in settings.intervals for pair in settings.allowed_pairs
    ]
    runtime = bootstrap.for_command(settings, lambda: options.now)
    try:
        with bootstrap.open_candle_source(settings, runtime.limiter_for, runtime.clock) as source:

            def work(plan: Plan, on_page: OnPage) -> LoadReport:
                return load(
                    plan,
                    Marked(runtime.series),
                    source,
                    runtime.clock,
                    on_page=on_page,
                    publish=tell,
                    pages_a_commit=options.pages_a_commit,
                )

            planner = partial(plan_load, history_days=options.days, ask_absent_again=True)
            ends = loads.load_all(runtime, selection, planner, work)
            return outcomes.conclude("loader", runtime, ends, as_json=True)
    finally:
        runtime.close()


def tell(event: Event) -> None:
    """Say what was stored, at once: this is what the world is told."""
    if isinstance(event, CandlesLoaded):
        told = {"inserted": event.inserted, "newest": event.newest, "revision": event.revision}
        say(f"stored {json.dumps(told)}")


def say(line: str) -> None:
    """Write past every buffer: the process may be gone the moment after."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
