"""Load everything since the last stored candle: the daily load, made for cron.

However many days were missed, one run catches up; it reads the last few closed candles again, to
notice that the exchange revised them. A pair with nothing stored gets its whole history.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from app import bootstrap
from app.core.market import Interval, Pair
from app.core.settings import Settings
from app.services.loaders import REREAD, load_incremental, since_last
from app.services.loading import LoadReport, OnPage
from app.workers import loads, outcomes
from app.workers.run import parser, positive, run, runtime, series_of

COMMAND = "incremental_loader"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Exit 0 all series loaded, 1 some failed, 2 could not start."""
    known = parser(f"app.workers.{COMMAND}", __doc__)
    known.add_argument(
        "--reread",
        type=positive(100_000),
        default=REREAD,
        metavar="N",
        help=f"closed candles to read again (default {REREAD})",
    )
    options = known.parse_args(argv)
    return run(COMMAND, lambda settings: _load(settings, options))


def _load(settings: Settings, options: argparse.Namespace) -> int:
    series = series_of(settings, options)
    with (
        runtime(settings) as made,
        bootstrap.open_candle_source(settings, made.gate_for) as source,
    ):

        def work(pair: Pair, interval: Interval, on_page: OnPage) -> LoadReport:
            return load_incremental(
                made.series,
                source,
                made.clock,
                pair,
                interval,
                history_days=settings.history_days,
                reread=options.reread,
                on_page=on_page,
                publish=made.events.publish,
            )

        now = made.clock()
        totals = [
            sum(
                interval.count(span.first, interval.last_closed(now))
                for span in since_last(made.series, pair, interval, options.reread, now)
            )
            for pair, interval in series
        ]
        ends = loads.load_all(made, series, totals, work)
        return outcomes.conclude(COMMAND, made, ends, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
