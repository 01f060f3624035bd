"""python -m benchmarks.edge.writer FILE: commits a price or an average for each line it reads.

It answers each with the unix time after the commit.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from app.core.market import Interval, Series
from app.core.prices import Coin, SpotPrice
from app.db.database import open_engine
from app.db.stores.prices import SqlPriceStore
from app.db.stores.series import SqlSeriesStore
from benchmarks.reliability.rig import BTC


def main(path: Path) -> None:
    """Commit until standard input ends."""
    engine = open_engine(f"sqlite:///{path}")
    prices, series = SqlPriceStore(engine), SqlSeriesStore(engine)
    daily = Series(BTC, Interval.DAY)
    for number, line in enumerate(sys.stdin, 1):
        now = time.time()
        if line.strip() == "price":
            price = SpotPrice(Coin("BTC", "bitcoin"), 10**13 + number, "usd", int(now))
            prices.add([price], int(now))
        else:
            last = series.state(daily).last
            assert last is not None
            with series.begin(daily) as unit:
                (candle,) = unit.candles(last, last)
                unit.put_candles([replace(candle, volume=number)])
                unit.finish(changed=True, now=now)
        print(time.time(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
