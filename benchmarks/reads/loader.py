"""A loader that never ends: the exchange revises a year of days, and each load is a commit.

`python -m benchmarks.reads.loader DB_URL` prints a line after each commit. Kill it to end it.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

from app.core.market import DAY, Interval, Series
from app.core.settings import load_settings
from app.db.database import open_engine
from app.db.stores.series import SqlSeriesStore
from app.services import loading
from benchmarks.reads.data import DAYS, YEAR
from benchmarks.reliability.rig import BTC, candle_source, exchange


def main() -> None:
    """Load for ever."""
    os.nice(10)  # the load of the measurement comes first on this core
    series = Series(BTC, Interval.DAY)
    store = SqlSeriesStore(open_engine(sys.argv[1]))
    last = series.interval.last_closed(time.time())
    with (
        exchange(time.time) as (stage, base_url),
        candle_source(load_settings(None, mb_api_base_url=base_url), time.time) as source,
    ):
        bars = list(stage.book.candles(series, last - YEAR * DAY, last, time.time()))
        # The prices of each bar without those of one of the two ends: it stays a candle.
        versions = [
            [replace(bar, close=bar.high) for bar in bars],
            [replace(bar, close=bar.low) for bar in bars],
        ]
        number = 0
        while True:
            stage.book.replace(series, versions[number % 2])
            plan = loading.plan_load(store, series, time.time(), history_days=DAYS, reread=YEAR)
            report = loading.load(plan, store, source, time.time)
            if report.revised:  # not where another one has stored this version before
                print(report.revision, flush=True)
            number += 1


if __name__ == "__main__":
    main()
