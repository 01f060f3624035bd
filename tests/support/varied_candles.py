"""A database whose numbers are as different as those of the API can be, for readers of tables."""

from __future__ import annotations

import random
import time

from app.core.market import MAX_PRICE, Candle, Exact, Interval, Series
from app.db import schema
from app.db.database import open_engine
from app.db.stores.series import SqlSeriesStore
from app.domain.fixed_point import kept
from tests.support.candles import BTC, FakeExchange
from tests.support.loads import initial

DAYS = 600
"""The days of history, at which the daily and the hourly series have all three averages."""


def store_varied_candles(db_url: str) -> None:
    """Make the database and store BRLBTC at 1d and at 1h, 600 days and the warm-up of each.

    Prices are 0.00000001 to the highest that is served. Volumes have up to 40 digits on either side
    of the point, or are absent. One candle in 90 is missing, and all of a stretch of 30.
    """
    engine = open_engine(db_url)
    try:
        schema.migrate(engine)
        store, now = SqlSeriesStore(engine), time.time()
        for interval in (Interval.DAY, Interval.HOUR):
            series = Series(BTC, interval)
            exchange = FakeExchange.of(_candles(interval, now), now, page_size=20_000)
            initial(store, exchange, lambda: now, history_days=DAYS, series=series)
    finally:
        engine.dispose()


def _candles(interval: Interval, now: float) -> list[Candle]:
    chance = random.Random(11)
    newest = interval.last_closed(now)
    count = interval.count(newest - DAYS * 86_400, newest) + 200
    places = [back for back in range(count) if chance.random() > 1 / 90 and not 300 < back < 330]
    return [_candle(newest - back * interval.seconds, chance) for back in reversed(places)]


def _candle(bucket: int, chance: random.Random) -> Candle:
    prices = sorted(_price(chance) for _ in range(4))
    low, first, last, high = prices
    return Candle(bucket, first, high, low, last, _volume(chance))


def _price(chance: random.Random) -> int:
    """Any magnitude, and often an end of the range."""
    return chance.choice([1, MAX_PRICE, int(10 ** chance.uniform(0, 16)), 10**8 * 7])


def _volume(chance: random.Random) -> Exact | None:
    long = "".join(chance.choices("123456789", k=80))
    return chance.choice(
        [None, 0, 1, int(10 ** chance.uniform(0, 18)), kept(f"{long[:40]}.{long[40:]}")]
    )
