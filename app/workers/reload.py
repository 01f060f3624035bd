"""Load pairs anew, in place of their stored candles: the remedy after a change of price scale.

All candles of the pair are fetched again, from its oldest stored one on. When the last has come,
they replace the stored ones in one transaction for each interval. Until then, and if anything
fails, the old ones stay. Other pairs, spot prices and noted revisions are kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from app.commands.command import command_parser, run
from app.commands.series import add_interval
from app.core.settings import Settings
from app.services.loading import plan_reload, reload
from app.workers import loads

COMMAND = "reload"


def main(argv: Sequence[str] | None = None, prog: str = f"python -m app.workers.{COMMAND}") -> int:
    """Run the command. Exit 0 all series loaded anew, 1 some failed, 2 could not start."""
    parser = command_parser(prog, __doc__)
    parser.add_argument(
        "pairs",
        nargs="+",
        metavar="PAIR",
        help="one of ALLOWED_PAIRS to load anew, such as BRLBTC or BTC-BRL",
    )
    add_interval(parser)
    parser.add_argument(
        "--lose-missing",
        action="store_true",
        help="reload even if the exchange no longer has some of the stored candles, and lose those",
    )
    return run(COMMAND, parser, argv, _reload)


def _reload(settings: Settings, options: argparse.Namespace) -> int:
    options.pairs = ",".join(options.pairs)
    planner = partial(plan_reload, history_days=settings.history_days)
    carry_out = partial(reload, lose_missing=options.lose_missing)
    return loads.load_selected(COMMAND, settings, options, planner, carry_out)


if __name__ == "__main__":
    sys.exit(main())
