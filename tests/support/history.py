"""A made-up exchange whose days go by as a test says, loaded by the application's own loaders."""

from __future__ import annotations

import random
import time
from bisect import bisect_left, bisect_right
from operator import itemgetter

from app.core.market import DAY as SECONDS
from app.core.market import WINDOWS
from app.db import schema
from app.db.database import open_engine
from app.db.stores.series import SqlSeriesStore
from tests.support.candles import BTC_DAILY, DAY, FakeExchange, candle
from tests.support.loads import incremental, initial
from tests.support.means import row_of

Averages = dict[int, tuple[int | None, ...]]
"""Bucket → averages in 1e-8, in the order of WINDOWS."""


class History:
    """A database that is filled day by day. `versions` are the averages after each commit."""

    def __init__(self, db_url: str, *, days: int = 600, ahead: int = 60) -> None:
        self.url = db_url
        newest = DAY.last_closed(time.time())
        chance = random.Random(7)
        closes = [chance.randrange(10**13, 9 * 10**13) for _ in range(days + ahead)]
        self._first = newest - (days - 1) * SECONDS
        self._coming = [
            candle(self._first + number * SECONDS, close) for number, close in enumerate(closes)
        ]
        self._engine = open_engine(db_url)
        schema.migrate(self._engine)
        self.store = SqlSeriesStore(self._engine)
        self.exchange = FakeExchange.of(self._coming[:days], now=newest + SECONDS + 60)
        self.versions: list[Averages] = []
        self.revisions: list[int] = []
        self._chance = chance
        self._rendered: dict[tuple[int, int], list[tuple[int, str]]] = {}
        initial(self.store, self.exchange, self._clock, history_days=days - WINDOWS[-1] + 1)
        self._note()

    @property
    def last(self) -> int:
        """The newest bucket."""
        return max(self.exchange.candles)

    def next(self) -> None:
        """A day goes by and an old close turns out to have been another one: one commit."""
        self.exchange.now += SECONDS
        following = self._coming[len(self.exchange.candles)]
        self.exchange.candles[following.bucket] = following
        old = self._chance.choice(sorted(self.exchange.candles)[-150:-100])
        self.exchange.candles[old] = candle(old, self._chance.randrange(10**13, 9 * 10**13))
        incremental(self.store, self.exchange, self._clock, history_days=365, reread=200)
        self._note()

    def period(self) -> tuple[int, int, int]:
        """A window with the first and the last bucket of some period, empty ones among them."""
        window = self._chance.choice(WINDOWS)
        first = self.last - self._chance.randrange(-20, 420) * SECONDS
        return window, first, first + self._chance.choice([0, 1, 20, 100, 364, 1_000]) * SECONDS

    def version(self, as_of: int) -> int:
        """The number of the commit after which this bucket was the newest."""
        return (as_of - max(self.versions[0])) // SECONDS

    def body(self, version: int, window: int, first: int, last: int) -> bytes:
        """What a read of the period must give after the numbered commit."""
        if (version, window) not in self._rendered:
            column = WINDOWS.index(window)
            self._rendered[version, window] = [
                (bucket, row_of(bucket, value))
                for bucket, values in self.versions[version].items()
                if (value := values[column]) is not None
            ]
        rows = self._rendered[version, window]
        begin = bisect_left(rows, first, key=itemgetter(0))
        end = bisect_right(rows, last, key=itemgetter(0))
        return f"[{','.join(text for _, text in rows[begin:end])}]\n".encode()

    def close(self) -> None:
        """Give the database back."""
        self._engine.dispose()

    def _clock(self) -> float:
        return self.exchange.now

    def _note(self) -> None:
        state, rows = self.store.rows(BTC_DAILY, 0, 2**40)
        self.versions.append({row.bucket: row.values for _, row in rows})
        self.revisions.append(state.revision)
