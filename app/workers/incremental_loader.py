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
from app.commands.command import parser, positive, run, runtime, series_of
from app.core.market import Series
from app.core.settings import Settings
from app.domain.gaps import Span
from app.services.loading import REREAD, LoadReport, OnPage, load_incremental, to_catch_up
from app.workers import loads, outcomes

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
    return run(COMMAND, known, argv, _load)


def _load(settings: Settings, options: argparse.Namespace) -> int:
    selection = [Series(*item) for item in series_of(settings, options)]
    with (
        runtime(settings) as made,
        bootstrap.open_candle_source(settings, made.limiter_for) as source,
    ):

        def work(series: Series, on_page: OnPage) -> LoadReport:
            return load_incremental(
                made.series,
                source,
                made.clock,
                series,
                history_days=settings.history_days,
                reread=options.reread,
                on_page=on_page,
                publish=made.events.publish,
            )

        def parts(series: Series) -> list[list[Span]]:
            days, now = settings.history_days, made.clock()
            return to_catch_up(made.series, series, days, options.reread, now)

        now = made.clock()
        totals = [
            sum(
                series.interval.count(span.first, min(span.last, series.interval.last_closed(now)))
                for spans in parts(series)
                for span in spans
            )
            for series in selection
        ]
        # Once the newest candles are there, what is left is what was overlooked before them.
        ends = loads.load_all(
            made, selection, totals, work, lacking=lambda series: len(parts(series)) > 1
        )
        return outcomes.conclude(COMMAND, made, ends, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
