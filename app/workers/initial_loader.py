"""Load the served history and its warm-up, then everything since: the first load of a database.

For each pair and interval it asks the exchange for the candles of HISTORY_DAYS days and the 199
buckets before them, so that the first served day has all three averages. Stored candles are not
fetched again. Buckets that the exchange did not have are retried after a day.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from app.commands.command import run, whole_number
from app.commands.series import series_parser
from app.core.settings import Settings
from app.services.loading import plan_load
from app.workers import loads

COMMAND = "initial_loader"


def main(argv: Sequence[str] | None = None, prog: str = f"python -m app.workers.{COMMAND}") -> int:
    """Run the command. Exit 0 all series loaded, 1 some failed, 2 could not start."""
    parser = series_parser(prog, __doc__)
    parser.add_argument(
        "--days",
        type=whole_number(1, 10_000),
        metavar="N",
        help="load so many days, instead of HISTORY_DAYS (the next incremental load brings the rest)",
    )
    return run(COMMAND, parser, argv, _load)


def _load(settings: Settings, options: argparse.Namespace) -> int:
    days = options.days or settings.history_days
    planner = partial(plan_load, history_days=days, ask_absent_again=True)
    return loads.load_selected(COMMAND, settings, options, planner)


if __name__ == "__main__":
    sys.exit(main())
