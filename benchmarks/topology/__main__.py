"""python -m benchmarks.topology: the whole topology here, and its promises when parts die.

nginx, two API processes, two memcached nodes and PostgreSQL with a streaming replica run as
processes on free loopback ports, in front of the stand-in exchange. wrk puts load on them, and
readers compare every body with the right one at its revision. Meanwhile parts are killed, stopped,
held and started again, and the real loader loads new candles.

Exit 0: every promise was kept. 1: one was not. 2: a program is missing; the message says which.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from app.core import logging
from benchmarks.reliability.figures import Progress
from benchmarks.topology.drill import STEPS, Drill
from benchmarks.topology.market import Market
from benchmarks.topology.reader import Judge, Reader, reading
from benchmarks.topology.results import Result, Step, table
from benchmarks.topology.stack import Missing, Programs, programs, stack

SECONDS: Final = 12.0
PACKAGES: Final = "nginx wrk memcached postgresql"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the drill and print its table."""
    listed = "\n".join(f"  {step.key:9}{step.name}" for step in STEPS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.topology",
        description=__doc__,
        epilog=f"steps:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    keys = [step.key for step in STEPS]
    parser.add_argument("step", nargs="*", metavar="STEP", help="what to do; everything by default")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="least length of a step (%(default)s)"
    )
    options = parser.parse_args(argv)
    unknown = [name for name in options.step if name not in keys]
    if unknown:
        parser.error(f"no step is called {unknown[0]!r}: use {', '.join(keys)}")
    try:
        tools = programs()
    except Missing as error:
        sys.stderr.write(f"missing: {error}; apt-get install {PACKAGES}\n")
        return 2
    logging.configure("ERROR", "console")
    chosen = options.step or keys
    results = drilled(tools, [step for step in STEPS if step.key in chosen], options.seconds)
    print(table(results))
    return 1 if any(result.troubles for result in results) else 0


def drilled(tools: Programs, steps: Sequence[Step], seconds: float) -> list[Result]:
    """Start everything and take these steps, each of so many seconds at least."""
    progress = Progress("topology")
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="mms-topology-")))
        running = closing.enter_context(stack(folder, tools, time.time))
        market = Market(running.stage)
        judge = Judge(market)
        drill = Drill(running, market, [], [], judge.paths())
        drill.load_history()
        drill.settle()
        through = [Reader("nginx", running.url, judge) for _ in range(2)]
        closing.enter_context(reading(through))
        direct = [Reader(f"api {api.port}", api.server.url, judge) for api in running.apis]
        closing.enter_context(reading(direct))
        drill.through, drill.direct = through, direct
        results = []
        for step in steps:
            results.append(drill.run(step, seconds))
            progress.step()
    progress.end()
    return results


if __name__ == "__main__":
    sys.exit(main())
