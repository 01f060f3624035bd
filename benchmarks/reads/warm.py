"""Memcached as the only layer that is warm, beside no cache at all.

The reading is done in this process, with the store's classes: a CachedAverageStore is made anew for
each read, so that nothing in the process is warm, and its connections to memcached are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from app.core.market import DAY, Interval, Series
from app.core.ports import AverageStore
from app.db.cache.averages import CachedAverageStore, block_memory
from app.db.cache.memcached import MemcachedRing
from app.db.database import open_for_api
from benchmarks.reads.bench import Bench
from benchmarks.reads.data import YEAR
from benchmarks.reads.load import Wrong
from benchmarks.reads.results import Goal, Reading
from benchmarks.reliability.rig import BTC
from tests.support.memcached import running

READS: Final = 200
"""Reads in one measurement."""

_TTL: Final = 3_600


def memcached(bench: Bench) -> None:
    """The read of HOT from memcached, and from SQLite."""
    node = bench.closing.enter_context(running(Path(bench.tools.memcached)))
    database = open_for_api(bench.data.db_url, None)
    bench.closing.callback(database.close)
    ring = MemcachedRing([node.address], _TTL)
    bench.closing.callback(ring.close)
    ours = bench.case(
        "read from memcached alone",
        "µs CPU",
        _reading(bench, lambda: CachedAverageStore(database.series, block_memory(_TTL), ring)),
    )
    other = bench.case(
        "read with CACHE_URL=none://", "µs CPU", _reading(bench, lambda: database.series)
    )
    bench.row("memcached as the only warm layer", ours, other, Goal(1.0, at_most=True))


def _reading(bench: Bench, store: Callable[[], AverageStore]) -> Callable[[int], Reading]:
    """The CPU of this process per read; stores are made before the clock starts."""
    series, right = Series(BTC, Interval.DAY), bench.data.hot()
    last = bench.data.last
    first = last - (YEAR - 1) * DAY

    def measure(_number: int) -> Reading:
        stores = [store() for _ in range(READS + 1)]
        if stores.pop().read(series, 50, first, last).body != right:
            raise Wrong("a read in this process has another body")
        begun, worked = time.perf_counter(), time.process_time()
        for each in stores:
            each.read(series, 50, first, last)
        took, work = time.perf_counter() - begun, time.process_time() - worked
        return Reading(work / READS * 1e6, READS / took)

    return measure
