"""Five hundred at once want a series that nobody has read yet: the database is asked once."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from app.core.ports import Cache
from app.db.cache.layers import LayeredCache
from app.db.cache.memcached import MemcachedRing
from app.db.cache.memory import MemoryCache
from app.db.cached import CHECK_EVERY, CachedAverageStore
from app.db.series import SqlSeriesStore
from app.db.session import open_engine
from tests.support.candles import BTC, DAY
from tests.support.history import History
from tests.support.memcached import Memcached
from tests.support.postgres import Postgres
from tests.support.served import api, get
from tests.support.statements import statements

READERS = 500


@pytest.mark.parametrize("shared", [False, True])
def test_five_hundred_cold_reads_of_one_series_are_one_statement(
    db_url: str, shared: bool, request: pytest.FixtureRequest
) -> None:
    cache: Cache = MemoryCache(3_600)
    if shared:
        node: Memcached = request.getfixturevalue("memcached")
        cache = LayeredCache(cache, MemcachedRing([node.address], 3_600))
    engine = open_engine(db_url)
    start = threading.Barrier(READERS)
    with closing(History(db_url)) as history, closing(cache), statements(engine) as sent:
        # However slow the machine: what is counted is the rush, not the checks of the revision.
        store = CachedAverageStore(SqlSeriesStore(engine), cache, check_every=3_600)
        periods = [(20, *history.period()[1:]) for _ in range(READERS)]

        def read(number: int) -> bytes:
            window, first, last = periods[number]
            start.wait(timeout=30)
            return store.read(BTC, DAY, window, first, last).body

        with ThreadPoolExecutor(READERS) as pool:
            bodies = list(pool.map(read, range(READERS)))
        assert bodies == [history.body(0, *period) for period in periods]
    engine.dispose()
    assert len(sent) == 1


@pytest.mark.parametrize("cache", ["memory", "memcached"])
def test_five_hundred_cold_requests_to_a_process_are_one_query_of_averages(
    postgres_server: Postgres, tmp_path: Path, cache: str, request: pytest.FixtureRequest
) -> None:
    cache_url = "memory://"
    if cache == "memcached":
        node: Memcached = request.getfixturevalue("memcached")
        cache_url = node.url
    url = postgres_server.create()
    with closing(History(url)) as history:
        first, last = history.last - 364 * DAY.seconds, history.last
        wanted = history.body(0, 20, first, last)
    postgres_server.note_statements(url)
    settings = {"CACHE_URL": cache_url, "DB_URL": url, "ALLOWED_PAIRS": "BRLBTC"}
    with api(tmp_path, "api", **settings) as served:
        start = threading.Barrier(READERS + 1)

        def read(_number: int) -> tuple[int, bytes]:
            with closing(served.connect()) as connection:
                connection.connect()
                start.wait(timeout=30)
                reply = get(connection, f"/BRLBTC/mms?range=20&from={first}&to={last}")
                return reply.status, reply.body

        before = len(postgres_server.noted())
        with ThreadPoolExecutor(READERS) as pool:
            replies = [pool.submit(read, number) for number in range(READERS)]
            start.wait(timeout=30)
            begun = time.monotonic()
            found = Counter(reply.result() for reply in replies)
            seconds = time.monotonic() - begun
        sent = postgres_server.noted()[before:]
    postgres_server.drop(url)
    assert found == {(200, wanted): READERS}
    # The rest is what a new connection begins with, and the watch on the database itself.
    of_series = [each for each in sent if "FROM series" in each and "alembic_version" not in each]
    assert [each for each in sent if re.search("candles|averages", each)] == of_series
    assert [number for number, each in enumerate(of_series) if "averages" in each] == [0]
    # While they are answered the revision is asked for again, as it is at all times.
    assert len(of_series) - 1 <= seconds / CHECK_EVERY + 1
