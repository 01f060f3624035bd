"""Load the served history and its warm-up, then everything since: the first load of a database.

For each pair and interval it asks the exchange for the candles of HISTORY_DAYS days and the 199
buckets before them, so that the first served day has all three averages; what is stored already is
not asked again. Then it goes on as the incremental loader does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from app import bootstrap
from app.commands.command import run, whole_number
from app.commands.series import runtime, series_of, series_parser
from app.core.market import Interval, Pair
from app.core.settings import Settings
from app.services.loading import LoadReport, OnPage, load_initial, to_fetch
from app.workers import loads, outcomes

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
    series = series_of(settings, options)
    days = options.days or settings.history_days
    with (
        runtime(settings) as made,
        bootstrap.open_candle_source(settings, made.limiter_for) as source,
    ):

        def missing(pair: Pair, interval: Interval) -> int:
            spans = to_fetch(made.series, pair, interval, days, made.clock())
            return sum(span.count(interval.seconds) for span in spans)

        def work(pair: Pair, interval: Interval, on_page: OnPage) -> LoadReport:
            return load_initial(
                made.series,
                source,
                made.clock,
                pair,
                interval,
                history_days=days,
                on_page=on_page,
                publish=made.events.publish,
            )

        totals = [missing(pair, interval) for pair, interval in series]
        ends = loads.load_all(made, series, totals, work, lacking=lambda *item: missing(*item) > 0)
        return outcomes.conclude(COMMAND, made, ends, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
