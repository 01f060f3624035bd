"""Five hundred requests at once for a series that is not cached: one read of the database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from app.db.cache.averages import CachedAverageStore, block_memory
from app.db.database import open_engine
from app.db.stores.series import SqlSeriesStore
from tests.support.candles import BTC_DAILY
from tests.support.history import History
from tests.support.statements import statements

READERS = 500


def test_five_hundred_cold_reads_of_one_series_are_two_statements(db_url: str) -> None:
    engine = open_engine(db_url)
    start = threading.Barrier(READERS)
    with closing(History(db_url)) as history, statements(engine) as sent:
        # However slow the machine: what is counted is the rush, not the checks of the revision.
        store = CachedAverageStore(SqlSeriesStore(engine), block_memory(3_600), check_every=3_600)
        periods = [(20, *history.period()[1:]) for _ in range(READERS)]

        def read(number: int) -> bytes:
            window, first, last = periods[number]
            start.wait(timeout=60)
            return store.read(BTC_DAILY, window, first, last).body

        with ThreadPoolExecutor(READERS) as pool:
            bodies = list(pool.map(read, range(READERS)))
        assert bodies == [history.body(0, *period) for period in periods]
    engine.dispose()
    assert len(sent) == 2  # the state of the series, and its rows
