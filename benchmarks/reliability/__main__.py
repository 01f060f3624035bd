"""python -m benchmarks.reliability: measure the promises of docs/reliability.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from app.workers import output
from benchmarks.reliability import crowds, kills, revised, stops
from benchmarks.reliability.figures import Figure, as_json, table

Measure = Callable[..., list[Figure]]

MEASURES: Final[dict[str, tuple[Measure, int]]] = {
    "kills": (kills.measure, 200),
    "stops": (stops.measure, 40),
    "crowds": (crowds.measure, 10),
    "migrations": (crowds.migrations, 5),
    "revised": (revised.measure, 50),
}
"""What can be measured, and how often by default."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Exit 0 where every promise was kept, 1 where one was not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*MEASURES, []], help="which; all by default")
    parser.add_argument("--db", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--runs", type=int, help="how often, instead of the usual number")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args(argv)
    begun = time.monotonic()
    found: list[Figure] = []
    for name in options.name or MEASURES:
        measure, usual = MEASURES[name]
        runs = options.runs or usual
        with output.progress({name: runs}) as advance:
            found += measure(options.db, runs, partial(advance, name, 1))
    print(table(found))
    if options.json:
        print(as_json(found, time.monotonic() - begun))
    return 0 if all(each.held for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
