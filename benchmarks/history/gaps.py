"""How long the gaps of a year of minutes take to find, as a multiple of counting its candles."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Collection
from typing import Final

from sqlalchemy import text

from app.core.market import DAY, WARM_UP, WINDOWS, AverageRow, Candle, Interval, Series
from app.db.stores.series import SqlSeriesStore
from app.domain.times import served_period, warmed_up
from app.services.gaps import inspect
from benchmarks.reliability.rig import BTC, Database, Where, opened

YEAR: Final = 365
HOLES: Final = 20
NOW: Final = 1_711_670_400
SERIES: Final = Series(BTC, Interval.MINUTE)
ROUNDS: Final = 15
ROUNDS_OF_EXTREMES: Final = 3
PERIOD: Final = warmed_up(served_period(SERIES.interval, YEAR, NOW), SERIES.interval)
START: Final = PERIOD.first - WARM_UP * SERIES.step
NUMBERS: Final = range((PERIOD.last - START) // SERIES.step + 1)
BLOCK: Final = 50_000


def cases() -> dict[str, tuple[Collection[int], bool]]:
    """The numbers of the minutes without a candle, and whether the exchange had none."""
    chance = random.Random(7)
    inside = range(2 * WARM_UP, NUMBERS[-3])
    return {
        f"{HOLES} holes": (set(chance.sample(inside, HOLES)), False),
        "no hole": (set(), False),
        "every third minute missing": (range(0, NUMBERS[-3], 3), False),
        "30 % confirmed absent": ({n for n in inside if chance.random() < 0.3}, True),
        "nothing stored": (NUMBERS, False),
    }


def gaps_ratio(where: Where) -> float:
    """Print the figures of each case; return the ratio of the one with a few holes.

    Raises LookupError where that kind of database is not installed.
    """
    ratios: list[float] = []
    with where.databases() as create:
        for name, (holes, absent) in cases().items():
            with opened(where.kind, create()) as database:
                store = SqlSeriesStore(database.engine)
                fill(store, holes, absent=absent)
                settled(database)
                rounds = ROUNDS_OF_EXTREMES if ratios else ROUNDS
                ratios.append(measured(database, store, name, rounds))
    return ratios[0]


def fill(store: SqlSeriesStore, holes: Collection[int], *, absent: bool) -> None:
    """Store the year with its averages, less the holes."""
    candles, rows, run = [], [], 0
    for number in NUMBERS:
        if number in holes:
            run = 0
            continue
        run += 1
        bucket, close = START + number * SERIES.step, 10**13 + number
        candles.append(Candle(bucket, close, close + 5, close - 5, close, 10**8))
        means = tuple(close if run >= window else None for window in WINDOWS)
        rows.append(AverageRow(bucket, means))
    with store.begin(SERIES) as unit:
        for start in range(0, len(candles), BLOCK):
            unit.put_candles(candles[start : start + BLOCK])
            unit.put_averages(rows[start : start + BLOCK])
        if absent:
            buckets = [START + number * SERIES.step for number in sorted(holes)]
            for asked_at in (NOW - 2 * DAY, NOW):
                unit.note_absent(buckets, asked_at)
        unit.finish(changed=True, now=NOW)


def settled(database: Database) -> None:
    """Do what PostgreSQL does by itself a while after such a load."""
    if database.kind == "postgres":
        with database.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection:
            connection.execute(text("VACUUM ANALYZE"))


def measured(database: Database, store: SqlSeriesStore, name: str, rounds: int) -> float:
    """Count and inspect in turn; print the medians, and return the median ratio."""
    count = text(
        "SELECT count(*) FROM candles "
        f"WHERE pair = '{BTC.symbol}' AND interval = '1m' AND bucket BETWEEN :first AND :last"
    )
    times = []
    with database.engine.connect() as connection:
        for _ in range(rounds):
            counting = seconds(lambda: connection.scalar(count, PERIOD._asdict()))
            inspecting = seconds(lambda: inspect(store, SERIES, YEAR, NOW))
            times.append((counting, inspecting))
    counting, inspecting = (statistics.median(taken) for taken in zip(*times, strict=True))
    ratio = statistics.median(inspected / counted for counted, inspected in times)
    print(
        f"{database.kind}: gaps of a year of minutes, {name}: {inspecting * 1e3:.0f} ms,"
        f" count(*) {counting * 1e3:.1f} ms, ratio {ratio:.1f}"
    )
    return ratio


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
