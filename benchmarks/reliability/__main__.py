"""python -m benchmarks.reliability: measure what is promised for when things go wrong.

Without a name everything is measured on both databases, which takes some half an hour, and the table of
docs/reliability.md is printed. A measurement that needs what is not installed (PostgreSQL, memcached, the
right to mount a small file system) is named as left out. The exit code is 0 where every promise was kept,
1 where one was not or something was left out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.core import logging
from benchmarks.reliability import (
    away,
    caches,
    candles,
    clocks,
    crowds,
    disks,
    floods,
    gate,
    kills,
    outages,
    restores,
    revised,
    stops,
    versions,
)
from benchmarks.reliability.figures import Figure, Progress, Step, as_json, table
from benchmarks.reliability.rig import POSTGRES, SQLITE, Where

Run = Callable[[Where, int, Step], list[Figure]]

KINDS: Final = {where.kind: where for where in (SQLITE, POSTGRES)}


@dataclass(frozen=True)
class Measure:
    """One measurement: what runs, how often on each kind of database, and what it is about."""

    run: Run
    runs: dict[str, int]
    about: str
    steps: Callable[[int], int] = lambda runs: runs


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
    "crowds": Measure(
        _two_and_eight,
        _both(10),
        "two and eight loaders at once",
        lambda runs: runs + max(1, runs // 2),
    ),
    "gate": Measure(
        gate.measure,
        _both(64),
        "the rate and the pauses of one host, for eight processes",
        lambda _runs: 1,
    ),
    "migrations": Measure(crowds.migrations, _both(5), "ten processes migrating at once"),
    "revised": Measure(revised.measure, _both(50), "closed candles that the exchange revises"),
    "outages": Measure(outages.measure, {"postgres": 6}, "PostgreSQL restarted under read load"),
    "cache": Measure(caches.measure, _both(40), "memcached that hangs or is killed under reads"),
    "locked": Measure(disks.locked, {"sqlite": 4}, "SQLite locked by another program"),
    "full": Measure(disks.full, {"sqlite": 8}, "a full disk (needs the right to mount)"),
    "away": Measure(away.measure, _both(288), "reads while the exchange is away for a day"),
    "skew": Measure(clocks.skew, _both(24), "clocks that are hours apart"),
    "midnight": Measure(clocks.midnight, _both(30), "midnight in the middle of a load"),
    "leap_day": Measure(clocks.leap_day, _both(1), "29 February"),
    "foreign": Measure(versions.foreign, {"sqlite": versions.FILES}, "foreign and cut-off files"),
    "flood": Measure(
        floods.measure, {"sqlite": 1}, "floods and trickles (no database)", lambda runs: 11 * runs
    ),
    "backup": Measure(
        restores.measure, _both(2), "backups, restored into either kind", lambda runs: 2 * runs
    ),
    "candles": Measure(
        candles.measure,
        _both(1_000_000),
        "invalid candles, generated",
        lambda runs: runs // candles.STEP_EVERY,
    ),
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
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args(argv)
    unknown = [name for name in options.name if name not in MEASURES]
    if unknown:
        parser.error(f"no measurement is called {unknown[0]!r}: use {', '.join(MEASURES)}")
    if options.runs is not None and options.runs < 1:
        parser.error("--runs must be at least 1")
    logging.configure("ERROR", "console")
    begun = time.monotonic()
    found: list[Figure] = []
    left_out: list[str] = []
    for name in options.name or MEASURES:
        for kind, usual in MEASURES[name].runs.items():
            if options.db in (None, kind):
                try:
                    found += _measured(name, kind, options.runs or usual)
                except LookupError as error:
                    left_out.append(f"{name} ({kind}) was left out: {error}")
    print(table(found))
    for line in left_out:
        print(line)
    if options.json:
        print(as_json(found, time.monotonic() - begun))
    return 0 if found and not left_out and all(each.held for each in found) else 1


def _measured(name: str, kind: str, runs: int) -> list[Figure]:
    measure = MEASURES[name]
    progress = Progress(f"{name} {kind}", measure.steps(runs))
    try:
        return measure.run(KINDS[kind], runs, progress.step)
    finally:
        progress.end()


if __name__ == "__main__":
    sys.exit(main())
