"""python -m benchmarks.edge: what attackers get, and what other clients notice of them.

Each measurement has servers of its own with every default, on one core; attackers and readers have
the other, and readers are processes ahead of all else. Needs Linux and memcached. As root, readers
and servers go ahead of other processes on the machine.

Exit 0: every limit holds. 1: one does not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from app.core import logging
from benchmarks.edge import attacks, raw, streams
from benchmarks.edge.bench import Bench, Figure
from benchmarks.reads import data
from benchmarks.reads.machine import machine, packages
from benchmarks.reads.servers import LOAD, session_ahead
from tests.support.processes import ROOT

MEASURES: Final[dict[str, Callable[[Bench], list[Figure]]]] = {
    "raw": raw.measure,
    "heads": attacks.heads,
    "abandoned": attacks.abandoned,
    "slow": attacks.slow,
    "full": attacks.full,
    "stops": attacks.stops,
    "limited": attacks.limited,
    "cache": attacks.cache,
    "streams": streams.measure,
}
_READ_MINUTES: Final = {"abandoned", "slow"}
MINUTES: Final = 365
QUICK_MINUTES: Final = 30
"""Days of minutes; a year takes a minute to load."""

FOLDER: Final = ROOT / "benchmarks" / "edge"

_HEAD: Final = """\
# What attackers get

`python -m benchmarks.edge` writes this page, with a column for each checkout that `--app` names. The absolute
figures are those of this machine.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write, judge."""
    options = _parser().parse_args(argv)
    chosen = options.name or list(MEASURES)
    unknown = [name for name in chosen if name not in MEASURES]
    if unknown:
        _parser().error(f"no measurement is called {unknown[0]!r}: use {', '.join(MEASURES)}")
    logging.configure("ERROR", "console")
    os.sched_setaffinity(0, LOAD)
    with session_ahead(), tempfile.TemporaryDirectory(prefix="mms-edge-") as folder:
        columns = measured(chosen, Path(folder), options.app, quick=options.quick)
        text = page(columns)
        print(text)
        if "raw" in chosen and not options.quick:
            shutil.copy(Path(folder, ROOT.name, raw.PAGE), FOLDER)
        if not (options.name or options.quick):
            (FOLDER / "results.md").write_text(text, "utf-8")
    return 0 if all(figure.held for figure in columns[ROOT.name]) else 1


def measured(
    chosen: Sequence[str], folder: Path, others: Sequence[Path], *, quick: bool
) -> dict[str, list[Figure]]:
    """The figures of this code and of other checkouts, by the name of their folder."""
    days = QUICK_MINUTES if quick else MINUTES
    loaded = data.load(folder, days if _READ_MINUTES & set(chosen) else 0)
    columns: dict[str, list[Figure]] = {}
    for root in (*(each.resolve() for each in others), ROOT):
        if root.name in columns:
            raise SystemExit(f"two checkouts are called {root.name}; rename one")
        bench = Bench.of(root, folder / root.name, loaded, quick=quick)
        columns[root.name] = []
        for name in chosen:
            begun = time.monotonic()
            columns[root.name] += MEASURES[name](bench)
            seconds = time.monotonic() - begun
            sys.stderr.write(f"{name}, the code in {root.name}: {seconds:.0f} s\n")
    return columns


def page(columns: dict[str, list[Figure]]) -> str:
    """The figures as a Markdown table; the last column is this code."""
    ours = list(columns.values())[-1]
    *before, _ = columns
    head = ["what", "limit", *(f"in {name}" for name in before), "measured", "holds"]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for number, figure in enumerate(ours):
        old = [columns[name][number].value for name in before]
        held = ("yes" if figure.held else "NO") if figure.limit else ""
        lines.append(" | ".join([figure.what, figure.limit, *old, figure.value, held]))
    table = "\n".join(f"| {line} |" for line in lines)
    return f"{_HEAD}\n{machine()}. {packages()}.\n\n{table}\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.edge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    names = ", ".join(MEASURES)
    add("name", nargs="*", metavar="NAME", help=f"what to measure, of {names}; all by default")
    add("--quick", action="store_true", help="small attacks; writes nothing")
    add("--app", type=Path, action="append", default=[], metavar="DIR", help="a checkout beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
