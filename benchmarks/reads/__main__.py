"""python -m benchmarks.reads: what a read costs, beside a bare server and a naive service.

All servers run side by side, each on one core, the load on the other. In each round everything is
measured once, so that other load on the machine meets all alike. The judge is CPU per request; a
ratio is that of the same round. Needs Linux, wrk, h2load and memcached (`make programs`).

Exit 0: every goal holds. 1: a goal is missed, or an answer is wrong. 2: a program is missing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from app.commands import output
from app.core import logging
from benchmarks.reads import data
from benchmarks.reads.bench import App, Bench
from benchmarks.reads.load import Programs, Wrong, programs
from benchmarks.reads.machine import Others, described
from benchmarks.reads.results import Reading, judged, table
from benchmarks.reads.rows import ROWS
from benchmarks.reads.servers import LOAD, session_ahead
from tests.support.processes import ROOT

ROUNDS: Final = 9
SECONDS: Final = 2
MINUTES: Final = 365
QUICK_MINUTES: Final = 30
"""Days of minutes; a year takes a minute to load."""

RESULTS: Final = ROOT / "benchmarks" / "results.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write, judge."""
    options = _parser().parse_args(argv)
    try:
        tools = programs()
    except LookupError as error:
        sys.stderr.write(f"missing: {error}; `make programs` installs what can be\n")
        return 2
    logging.configure("INFO", "console")
    os.sched_setaffinity(0, LOAD)
    rounds = options.rounds or (3 if options.quick else ROUNDS)
    seconds = options.seconds or (1 if options.quick else SECONDS)
    apps = [App(ROOT), *(App(each.resolve(), f" in {each.name}") for each in options.app)]
    try:
        minutes = QUICK_MINUTES if options.quick else MINUTES
        text, held = measured(tools, options.only or list(ROWS), apps, rounds, seconds, minutes)
    except Wrong as error:
        sys.stderr.write(f"wrong: {error}\n")
        return 1
    print(text)
    if options.write or not (options.only or options.quick or options.app):
        RESULTS.write_text(text, "utf-8")
    return 0 if held else 1


def measured(
    tools: Programs,
    chosen: Sequence[str],
    apps: Sequence[App],
    rounds: int,
    seconds: int,
    minutes: int,
) -> tuple[str, bool]:
    """Measure these rows in so many rounds; returns the page, and whether every goal holds.

    `minutes` is the number of days of which minutes are loaded where a row reads them.
    """
    with ExitStack() as closing:
        closing.enter_context(session_ahead())
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="mms-reads-")))
        loaded = data.load(folder, minutes if "crowd" in chosen else 0)
        bench = Bench(folder, tools, loaded, seconds, closing, apps)
        for name in chosen:
            ROWS[name](bench)
        readings: dict[str, list[Reading]] = {name: [] for name in bench.cases}
        others = Others(bench.started.values())
        with output.progress({"reads": rounds * len(bench.cases)}) as advance:
            for number in range(rounds):
                order = list(bench.cases.values())
                for case in order if number % 2 == 0 else reversed(order):
                    readings[case.name].append(case.measure(number))
                    advance("reads", 1)
        rows = [judged(row, readings) for row in bench.rows]
        about = described(tools, rounds, seconds, others.share())
        text = f"{_HEAD}\n{about}\n\n{table(rows, bench.cases, readings)}\n"
    return text, all(row.held is not False for row in rows)


_HEAD: Final = """\
# What a read costs

`make bench` writes this page. CPU per request is the judge; a ratio is the other's CPU divided by
ours where a goal is a least one, ours by the other's where it is a most, in the same round. The
absolute figures are those of this machine, and nothing is promised about them.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, help=f"rounds (default {ROUNDS})")
    add("--seconds", type=int, help=f"length of a measurement (default {SECONDS})")
    add("--quick", action="store_true", help="three rounds of one second; writes nothing")
    add("--only", nargs="+", choices=list(ROWS), metavar="NAME", help=f"of {', '.join(ROWS)}")
    add("--app", type=Path, action="append", default=[], metavar="DIR", help="a checkout beside it")
    add("--write", action="store_true", help="write results.md also where not all is measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
