"""How long two reads of a long history take.

The newest 100 prices, with a thousand and with a million stored: the ratio is at most 1.3. The
gaps of a year of minutes with 20 holes, and `count(*)` of that year: at most 5. Both sides of a
ratio are read in turn, so that other load on the machine meets both alike.
`python -m benchmarks.history [--only prices|gaps] [--rows N] [--db sqlite|postgres]` exits 1 where
a ratio is above its limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import insert

from app.db.models import SPOT_PRICES
from app.db.session import transaction
from app.db.stores.prices import SqlPriceStore
from benchmarks.history.gaps import gaps_ratio
from benchmarks.reliability.rig import POSTGRES, SQLITE, Database, Where, opened

FEW: Final = 1_000
MANY: Final = 1_000_000
HIGHEST_RATIO: Final = 1.3
HIGHEST_GAPS_RATIO: Final = 5
SYMBOLS: Final = ("BTC", "ETH", "SOL", "ADA", "DOT")
ROUNDS: Final = 400
BLOCK: Final = 20_000
WHERE: Final = {"sqlite": SQLITE, "postgres": POSTGRES}


def main(argv: Sequence[str] | None = None) -> int:
    """Fill, measure, print, judge."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.history",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=MANY, help=f"prices stored (default {MANY:,})")
    parser.add_argument("--db", choices=list(WHERE), action="append", help="default: both")
    parser.add_argument("--only", choices=("prices", "gaps"), help="default: both")
    options = parser.parse_args(argv)
    prices, gaps = [0.0], [0.0]
    try:
        for kind in options.db or WHERE:
            if options.only != "gaps":
                prices.append(measured(WHERE[kind], options.rows))
            if options.only != "prices":
                gaps.append(gaps_ratio(WHERE[kind]))
    except LookupError as error:
        parser.error(f"{error}; --db sqlite leaves it out")
    if max(prices) > HIGHEST_RATIO:
        print(f"above {HIGHEST_RATIO}: reading the newest prices depends on how many are stored")
    if max(gaps) > HIGHEST_GAPS_RATIO:
        print(f"above {HIGHEST_GAPS_RATIO}: finding a few gaps reads more than counts")
    return int(max(prices) > HIGHEST_RATIO or max(gaps) > HIGHEST_GAPS_RATIO)


def measured(where: Where, rows: int) -> float:
    """The median time of a read with `rows` prices stored, as a multiple of that with FEW.

    Raises LookupError where that kind of database is not installed.
    """
    with (
        where.databases() as create,
        opened(where.kind, create()) as few,
        opened(where.kind, create()) as many,
    ):
        stores = {FEW: filled(few, FEW), rows: filled(many, rows)}
        times: dict[int, list[float]] = {FEW: [], rows: []}
        for number in range(ROUNDS):
            symbol = SYMBOLS[number % len(SYMBOLS)]
            for amount, store in stores.items():
                begun = time.perf_counter()
                prices = store.newest(symbol, "usd", 100)
                times[amount].append(time.perf_counter() - begun)
                assert len(prices) == 100
    medians = {amount: statistics.median(taken) for amount, taken in times.items()}
    for amount, median in medians.items():
        print(f"{where.kind}: newest 100 of {amount:>9,} prices: {median * 1e6:7.0f} us")
    ratio = medians[rows] / medians[FEW]
    print(f"{where.kind}: ratio {ratio:.2f}")
    return ratio


def filled(database: Database, rows: int) -> SqlPriceStore:
    """A store with so many prices of five symbols, a collection every 300 s."""
    for start in range(0, rows, BLOCK):
        block = [
            {
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "currency": "usd",
                "price": 10**8 + number,
                "priced_at": 1_600_000_000 + number // len(SYMBOLS) * 300,
                "collected_at": 1_600_000_000 + number // len(SYMBOLS) * 300,
            }
            for number in range(start, min(start + BLOCK, rows))
        ]
        with transaction(database.engine) as connection:
            connection.execute(insert(SPOT_PRICES), block)
    database.wait_two_minutes()
    return SqlPriceStore(database.engine)


if __name__ == "__main__":
    sys.exit(main())
