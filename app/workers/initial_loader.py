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
from app.commands.command import parser, positive, run, runtime, series_of
from app.core.market import Series
from app.core.settings import Settings
from app.services.loading import LoadReport, OnPage, load_initial, to_fetch
from app.workers import loads, outcomes

COMMAND = "initial_loader"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Exit 0 all series loaded, 1 some failed, 2 could not start."""
    known = parser(f"app.workers.{COMMAND}", __doc__)
    known.add_argument(
        "--days",
        type=positive(10_000),
        metavar="N",
        help="load so many days, instead of HISTORY_DAYS (the next incremental load brings the rest)",
    )
    return run(COMMAND, known, argv, _load)


def _load(settings: Settings, options: argparse.Namespace) -> int:
    selection = [Series(*item) for item in series_of(settings, options)]
    days = options.days or settings.history_days
    with (
        runtime(settings) as made,
        bootstrap.open_candle_source(settings, made.limiter_for) as source,
    ):

        def missing(series: Series) -> int:
            spans = to_fetch(made.series, series, days, made.clock())
            return sum(span.count(series.step) for span in spans)

        def work(series: Series, on_page: OnPage) -> LoadReport:
            return load_initial(
                made.series,
                source,
                made.clock,
                series,
                history_days=days,
                on_page=on_page,
                publish=made.events.publish,
            )

        totals = [missing(series) for series in selection]
        ends = loads.load_all(
            made, selection, totals, work, lacking=lambda series: missing(series) > 0
        )
        return outcomes.conclude(COMMAND, made, ends, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
