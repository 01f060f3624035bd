"""How long the newest 100 prices take to read, with a thousand and with a million stored.

Both databases are read in turn, so that the machine's own ups and downs meet both alike; the figure is
the ratio of the medians. `python -m benchmarks.history [--rows N]`
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import insert

from app.db import schema
from app.db.models import CollectedPrice
from app.db.prices import SqlPriceStore
from app.db.session import open_engine, transaction

FEW: Final = 1_000
MANY: Final = 1_000_000
SYMBOLS: Final = ("BTC", "ETH", "SOL", "ADA", "DOT")
ROUNDS: Final = 400
BLOCK: Final = 20_000


def main(argv: Sequence[str] | None = None) -> int:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--rows", type=int, default=MANY, help=f"prices stored (default {MANY:,})")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        few = filled(f"sqlite:///{Path(folder) / 'few.db'}", FEW)
        many = filled(f"sqlite:///{Path(folder) / 'many.db'}", options.rows)
        times: dict[str, list[float]] = {"few": [], "many": []}
        for number in range(ROUNDS):
            symbol = SYMBOLS[number % len(SYMBOLS)]
            for name, store in (("few", few), ("many", many)):
                begun = time.perf_counter()
                assert len(store.newest(symbol, "usd", 100)) == 100
                times[name].append(time.perf_counter() - begun)
    few_us, many_us = (statistics.median(times[name]) * 1e6 for name in ("few", "many"))
    print(f"newest 100 of {FEW:>9,} prices: {few_us:7.0f} us")
    print(f"newest 100 of {options.rows:>9,} prices: {many_us:7.0f} us")
    print(f"ratio {many_us / few_us:.2f}")
    if options.json:
        print(json.dumps({"rows": options.rows, "ratio": round(many_us / few_us, 3)}))
    return 0


def filled(url: str, rows: int) -> SqlPriceStore:
    """A store with so many prices of five symbols, a collection every 300 s."""
    engine = open_engine(url)
    schema.migrate(engine)
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
        with transaction(engine) as connection:
            connection.execute(insert(CollectedPrice), block)
    return SqlPriceStore(engine)


if __name__ == "__main__":
    sys.exit(main())
