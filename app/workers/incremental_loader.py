"""Load everything since the last stored candle: the daily load, made for cron.

However many days were missed, one run catches up; it reads the last few closed candles again, to
notice that the exchange revised them. Then it asks for what is missing of the served period and of the
199 buckets before it, unless the exchange was asked for that before: after HISTORY_DAYS was raised,
say. A pair with nothing stored gets its whole history.
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
from app.domain.gaps import Span
from app.services.loading import REREAD, LoadReport, OnPage, load_incremental, to_catch_up
from app.workers import loads, outcomes

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
    series = series_of(settings, options)
    with (
        runtime(settings) as made,
        bootstrap.open_candle_source(settings, made.limiter_for) as source,
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

        def parts(pair: Pair, interval: Interval) -> list[list[Span]]:
            days, now = settings.history_days, made.clock()
            return to_catch_up(made.series, pair, interval, days, options.reread, now)

        now = made.clock()
        totals = [
            sum(
                interval.count(span.first, min(span.last, interval.last_closed(now)))
                for spans in parts(pair, interval)
                for span in spans
            )
            for pair, interval in series
        ]
        # Once the newest candles are there, what is left is what was overlooked before them.
        ends = loads.load_all(
            made, series, totals, work, lacking=lambda *item: len(parts(*item)) > 1
        )
        return outcomes.conclude(COMMAND, made, ends, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
