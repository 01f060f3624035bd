"""Several series behind one cache: each caller gets its own, however many ask at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from app.core.market import Interval, Series, SeriesState, Window
from app.db.cache import blocks
from app.db.cache.averages import CHECK_EVERY, CachedAverageStore, block_memory
from tests.support.candles import BTC, ETH
from tests.support.means import RecordingMeans, rows_in
from tests.support.patience import until, waiting_in

MINUTE = Interval.MINUTE
STEP = MINUTE.seconds
SIZE = blocks.BLOCK * STEP
START = 3_400 * SIZE
BTC_MINUTES = Series(BTC, MINUTE)
SERIES = {BTC_MINUTES: 11, Series(ETH, MINUTE): 12, Series(BTC, Interval.QUARTER): 13}
"""Each series with the average that is its own; all have one revision."""


class Several:
    """A MeansSource of three series, one row each, which answers all readers at once."""

    def __init__(self, readers: int) -> None:
        self._held = threading.Barrier(readers)

    def state(self, series: Series) -> SeriesState:
        return SeriesState(7, START, START, 1)

    def means(
        self, series: Series, window: Window, first: int, last: int
    ) -> tuple[SeriesState, list[tuple[int, int]]]:
        self._held.wait(60)
        return self.state(series), [(START, 1000 * SERIES[series] + window)]


def test_reads_at_the_same_time_are_each_of_their_own_series_and_window() -> None:
    wanted = [(series, window) for series in SERIES for window in (20, 50)]
    store = CachedAverageStore(Several(len(wanted)), block_memory(10**9), monotonic=lambda: 50.0)
    with ThreadPoolExecutor(len(wanted)) as pool:
        found = list(pool.map(lambda which: store.read(which[0], which[1], START, START), wanted))
    for (series, window), part in zip(wanted, found, strict=True):
        assert rows_in(part.body) == {START: 1000 * SERIES[series] + window}
        again = store.read(series, window, START, START)  # now from the cache
        assert again == part


def test_who_stops_believing_while_asking_is_not_given_what_is_older_still() -> None:
    source = RecordingMeans()
    source.commit({START: 1})
    now = [50.0]
    steps: list[Callable[[], None]] = []

    def monotonic() -> float:
        told = now[0]
        if steps:
            steps.pop(0)()
        return told

    store = CachedAverageStore(source, block_memory(10**9), monotonic=monotonic)
    source.held = True
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(store.state, BTC_MINUTES)
        until(lambda: source.waiting == 1)
        # Another answer overtakes the slow one, of a commit in between.
        second = source.commit({START: 2})
        now[0] += 0.1
        source.held = False
        assert store.refresh(BTC_MINUTES).revision == second

        # The next caller looks at the clock twice, and between the two the belief ends. The slow
        # answer would be young enough, but it is older than what was told already.
        now[0] += CHECK_EVERY - 0.15
        steps += [lambda: now.__setitem__(0, now[0] + 0.2)]
        late = pool.submit(store.state, BTC_MINUTES)
        until(lambda: waiting_in(Future.result) == 1 or late.done())
        source.let_go()
        assert early.result(timeout=20).revision in (1, second)
        assert late.result(timeout=20).revision == second
