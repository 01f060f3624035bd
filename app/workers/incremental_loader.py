"""Load everything since the last stored candle: the daily load, made for cron.

One run catches up, however many days were missed. It reads the last few closed candles again, to
notice revisions by the exchange. Then it backfills the served period and the 199 buckets before it,
for example after HISTORY_DAYS was raised. Buckets that were already requested are left out. A pair
with nothing stored gets its whole history.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from app.commands.command import run, whole_number
from app.commands.series import series_parser
from app.core.settings import Settings
from app.services.loading import REREAD, plan_load
from app.workers import loads

COMMAND = "incremental_loader"


def main(argv: Sequence[str] | None = None, prog: str = f"python -m app.workers.{COMMAND}") -> int:
    """Run the command. Exit 0 all series loaded, 1 some failed, 2 could not start."""
    parser = series_parser(prog, __doc__)
    parser.add_argument(
        "--reread",
        type=whole_number(1, 100_000),
        default=REREAD,
        metavar="N",
        help=f"closed candles to read again (default {REREAD})",
    )
    return run(COMMAND, parser, argv, _load)


def _load(settings: Settings, options: argparse.Namespace) -> int:
    planner = partial(plan_load, history_days=settings.history_days, reread=options.reread)
    return loads.load_selected(COMMAND, settings, options, planner)


if __name__ == "__main__":
    sys.exit(main())
