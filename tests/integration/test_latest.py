"""The newest candles in a database of each kind: as in memory, and with few statements."""

from __future__ import annotations

from app.core.market import DAY, Interval, Series
from app.db import schema
from app.db.database import open_engine
from app.db.stores.series import SqlSeriesStore
from app.services.latest import read_latest_of_all
from app.testing.series import MemorySeriesStore
from tests.support.api import ETH, LAST, NOW, load
from tests.support.candles import BTC_DAILY
from tests.support.statements import statements


def test_each_series_takes_one_statement_and_is_read_as_from_memory(db_url: str) -> None:
    engine = open_engine(db_url)
    schema.migrate(engine)
    store, reference = SqlSeriesStore(engine), MemorySeriesStore()
    gap = Series(ETH, Interval.DAY)
    every = [BTC_DAILY, gap, Series(ETH, Interval.HOUR)]
    for each in (store, reference):
        load(each)
        load(each, gap, without=[LAST - DAY])
    with statements(engine) as sent:
        newest = read_latest_of_all(store, every, 365, NOW)
    engine.dispose()
    assert newest == read_latest_of_all(reference, every, 365, NOW)
    assert [each.message is None for each in newest] == [True, False, False]
    assert len([each for each in sent if "candles" in each]) == len(every)
