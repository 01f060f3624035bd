"""python -m benchmarks.reliability: measure what is promised for when things go wrong.

Without a name everything is measured on both databases, in half an hour, and the table of
docs/reliability.md is printed. A measurement that needs a missing program (PostgreSQL, memcached)
is named as left out. Exit 0: every promise was kept. 1: one was not, or something was left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.core import logging
from benchmarks.reliability import (
    caches,
    crowds,
    kills,
    limiter,
    outages,
    restores,
    revised,
    stops,
)
from benchmarks.reliability.figures import Figure, Progress, Step, table
from benchmarks.reliability.rig import POSTGRES, SQLITE, Where

Run = Callable[[Where, int, Step], list[Figure]]

KINDS: Final = {where.kind: where for where in (SQLITE, POSTGRES)}


@dataclass(frozen=True)
class Measure:
    """One measurement: what runs, how often on each kind of database, and what it is about."""

    run: Run
    runs: dict[str, int]
    about: str


def _both(runs: int) -> dict[str, int]:
    return dict.fromkeys(KINDS, runs)


def _two_and_eight(where: Where, runs: int, step: Step) -> list[Figure]:
    return [
        *crowds.measure(where, max(1, runs // 2), step, many=2),
        *crowds.measure(where, runs, step, many=8),
    ]


MEASURES: Final = {
    "kills": Measure(
        kills.measure, {"sqlite": 200, "postgres": 50}, "kill -9 of a loader at a random moment"
    ),
    "stops": Measure(stops.measure, _both(40), "SIGTERM in a load"),
    "crowds": Measure(_two_and_eight, _both(10), "two and eight loaders at once"),
    "limiter": Measure(
        limiter.measure, _both(64), "the rate and the pauses of one host, for eight processes"
    ),
    "revised": Measure(revised.measure, _both(50), "closed candles that the exchange revises"),
    "outages": Measure(outages.measure, {"postgres": 6}, "PostgreSQL restarted under read load"),
    "cache": Measure(caches.measure, _both(40), "memcached that hangs or is killed under reads"),
    "backup": Measure(restores.measure, _both(2), "backups, restored into either kind"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    listed = "\n".join(f"  {name:11}{measure.about}" for name, measure in MEASURES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability",
        description=__doc__,
        epilog=f"measurements:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="*", metavar="NAME", help="what to measure; all by default")
    parser.add_argument("--db", choices=KINDS, help="on this kind of database alone")
    parser.add_argument("--runs", type=int, metavar="N", help="how often, instead of the usual")
    options = parser.parse_args(argv)
    unknown = [name for name in options.name if name not in MEASURES]
    if unknown:
        parser.error(f"no measurement is called {unknown[0]!r}: use {', '.join(MEASURES)}")
    if options.runs is not None and options.runs < 1:
        parser.error("--runs must be at least 1")
    logging.configure("ERROR", "console")
    figures: list[Figure] = []
    left_out: list[str] = []
    for name in options.name or MEASURES:
        for kind, usual in MEASURES[name].runs.items():
            if options.db in (None, kind):
                try:
                    figures += _measured(name, kind, options.runs or usual)
                except LookupError as error:
                    left_out.append(f"{name} ({kind}) was left out: {error}")
    print(table(figures))
    for line in left_out:
        print(line)
    return 0 if figures and not left_out and all(each.held for each in figures) else 1


def _measured(name: str, kind: str, runs: int) -> list[Figure]:
    progress = Progress(f"{name} {kind}")
    try:
        return MEASURES[name].run(KINDS[kind], runs, progress.step)
    finally:
        progress.end()


if __name__ == "__main__":
    sys.exit(main())
