"""Five hundred at once want a series that nobody has read yet: the database is asked once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from app.core.ports import Cache
from app.db.cache.layers import LayeredCache
from app.db.cache.memcached import MemcachedRing
from app.db.cache.memory import MemoryCache
from app.db.cached import CachedAverageStore
from app.db.series import SqlSeriesStore
from app.db.session import open_engine
from tests.support.candles import BTC, DAY
from tests.support.history import History
from tests.support.memcached import Memcached
from tests.support.postgres import Postgres
from tests.support.served import api, get

READERS = 500


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Every statement that the engine sends while the block runs."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


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


def test_five_hundred_cold_requests_are_one_query_of_averages_in_each_process(
    postgres_server: Postgres, memcached: Memcached, tmp_path: Path
) -> None:
    url = postgres_server.create()
    caches = ["memory://", memcached.url]
    start = threading.Barrier(READERS)
    with closing(History(url)) as history:
        window, first, last = 20, history.last - 364 * DAY.seconds, history.last
        wanted = history.body(0, window, first, last)
    with ExitStack() as stack:
        apis = [
            stack.enter_context(
                api(tmp_path, str(n), CACHE_URL=cache, DB_URL=url, ALLOWED_PAIRS="BRLBTC")
            )
            for n, cache in enumerate(caches)
        ]
        before = scans_of_averages(url)

        def read(number: int) -> tuple[int, bytes]:
            with closing(apis[number % len(apis)].connect()) as connection:
                connection.connect()
                start.wait(timeout=30)
                target = f"/BRLBTC/mms?range={window}&from={first}&to={last}"
                reply = get(connection, target)
                return reply.status, reply.body

        with ThreadPoolExecutor(READERS) as pool:
            replies = Counter(pool.map(read, range(READERS)))
    # The processes have ended, and with their connections PostgreSQL has counted what they did.
    assert replies == {(200, wanted): READERS}
    assert scans_of_averages(url) - before == len(caches)
    postgres_server.drop(url)


def scans_of_averages(url: str) -> int:
    """How often the table of averages has been looked into, by the database's own count."""
    engine = open_engine(url)
    with engine.connect() as connection:
        found = connection.scalar(
            text(
                "SELECT seq_scan + COALESCE(idx_scan, 0) FROM pg_stat_user_tables "
                "WHERE relname = 'averages'"
            )
        )
    engine.dispose()
    return int(found or 0)
