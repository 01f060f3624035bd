"""What the API reads from a real streaming replica, and what happens to reads without a server.

A replica whose replay is paused lags for as long as a test likes. A server that is held by SIGSTOP
keeps its connections open and says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from sqlalchemy import event, text

from app import bootstrap
from app.core.errors import StoreUnavailable
from app.db.postgres import PATIENCE, open_reads
from app.db.stores.series import SqlSeriesStore
from app.services.coverage import CoverageCounter
from app.services.gaps import inspect
from tests.support.api import settings
from tests.support.candles import BTC_DAILY
from tests.support.history import History
from tests.support.memcached import Memcached
from tests.support.patience import until
from tests.support.replica_api import Pair, api, collected, lagging, period, shown

READERS = 8
MINUTE = 60.0


@contextmanager
def reading(store: SqlSeriesStore, history: History) -> Iterator[Callable[[], int]]:
    """Threads that read without a pause; yields the count of reads. Raises a thread's error."""
    done = [0] * READERS
    ended = False
    revision = history.revisions[-1]

    def read(number: int) -> None:
        while not ended:
            state, rows = store.rows(BTC_DAILY, 0, history.last)
            assert (state.revision, len(rows)) == (revision, len(history.versions[-1]))
            done[number] += 1

    with ThreadPoolExecutor(READERS) as pool:
        futures = [pool.submit(read, number) for number in range(READERS)]
        try:
            yield lambda: min(done)
        finally:
            ended = True
            for future in futures:
                future.result(MINUTE)


def go_on(reads: Callable[[], int]) -> None:
    """Wait until every reader has had a further answer."""
    wanted = reads() + 2
    until(lambda: reads() >= wanted, MINUTE)


def test_reads_come_from_the_replica_each_with_the_revision_of_its_own_rows(
    pair: Pair, history: History, memcached: Memcached
) -> None:
    # One of two processes that share a ring reads from a replica that is one commit behind.
    with (
        api(history, pair.replica.url(history.url), cache_url=memcached.url) as made,
        api(history, None, cache_url=memcached.url) as other,
    ):
        before, old = made.averages(history)
        with lagging(pair.replica):
            history.next()
            until(lambda: other.averages(history)[0] == before + 1)
            for window in (20, 50, 200):
                # Each body is that of the commit that its headers show.
                assert other.averages(history, window)[0] == before + 1
                assert made.averages(history, window)[0] == before
            assert made.averages(history)[1].header("ETag") == old.header("ETag")
            candles = made.client.get(f"/BRLBTC/candles?from={period(history)[0]}")
            gaps = made.client.get("/BRLBTC/gaps").json()
            (listed,) = made.client.get("/pairs").json()["pairs"]
            assert shown(history, candles) == before
            assert gaps["as_of"] == listed["as_of"] == candles.header("X-Data-As-Of")
        until(lambda: made.averages(history)[0] == before + 1)


def test_a_price_that_was_stored_is_in_the_history_at_once_however_far_the_replica_is_behind(
    pair: Pair, history: History
) -> None:
    with api(history, pair.replica.url(history.url)) as made, lagging(pair.replica):
        for price in (1, 2, 3):
            stored = collected(made, price * 10**8)
            assert made.client.get("/history/BTC?limit=1").json()[0]["id"] == stored
        judged = made.client.get("/anomaly/BTC").json()
        assert (judged["latest_price"], judged["previous_price"]) == (3, 2)


def test_commands_read_where_they_write(pair: Pair, history: History) -> None:
    chosen = settings(db_url=history.url, db_read_url=pair.replica.url(history.url))
    with lagging(pair.replica):
        history.next()
        made = bootstrap.for_command(chosen)
        try:
            assert made.series.state(BTC_DAILY).revision == history.revisions[-1]
        finally:
            made.close()


def test_what_takes_several_reads_has_them_from_one_server(pair: Pair, history: History) -> None:
    engine = open_reads(history.url, pair.replica.url(history.url))
    connections: list[object] = []
    event.listen(engine, "checkout", lambda used, *_: connections.append(used))
    store = SqlSeriesStore(engine)
    inspect(store, BTC_DAILY, 60, time.time())
    assert len(connections) == 1
    CoverageCounter(store, 60).coverage(BTC_DAILY, time.time())
    assert len(connections) == 2
    engine.dispose()


def test_readers_do_not_notice_that_the_replica_is_killed_and_return_to_it(
    pair: Pair, history: History
) -> None:
    engine = open_reads(history.url, pair.replica.url(history.url), recycle=0.5)
    with (
        structlog.testing.capture_logs() as logged,
        reading(SqlSeriesStore(engine), history) as reads,
    ):
        go_on(reads)
        assert not logged
        pair.replica.stop()
        try:
            go_on(reads)
        finally:
            pair.replica.start()
        until(lambda: len(logged) > 1, MINUTE)
        go_on(reads)
    engine.dispose()
    moves = [line["server"] for line in logged if line["event"] == "reads_moved"]
    assert moves[:2] == [f"127.0.0.1:{each.port}" for each in (pair.primary, pair.replica)]


def test_readers_get_their_answers_from_the_primary_when_the_replica_hangs(
    pair: Pair, history: History
) -> None:
    engine = open_reads(history.url, pair.replica.url(history.url))
    with reading(SqlSeriesStore(engine), history) as reads:
        go_on(reads)
        pair.replica.hold()
        try:
            go_on(reads)
        finally:
            pair.replica.go_on()
        go_on(reads)
    engine.dispose()


def test_a_read_that_takes_long_on_a_server_that_is_well_is_not_cut_off(pair: Pair) -> None:
    engine = open_reads(pair.primary.url("postgres"), None)
    with engine.connect() as connection:
        assert connection.scalar(text(f"SELECT 1 FROM pg_sleep({PATIENCE + 0.5})")) == 1
    engine.dispose()


def test_reads_outlive_the_primary_and_writes_are_503(pair: Pair, history: History) -> None:
    with api(history, pair.replica.url(history.url)) as made:
        made.averages(history)
        collected(made, 10**8)
        pair.primary.stop()
        try:
            made.averages(history)
            assert made.client.get("/readyz").status == 200
            assert made.client.get("/history/BTC").status == 503
            assert made.client.ask("POST", "/collect-once/BTC").status == 503
            pair.replica.stop()
            for target in ("/BRLBTC/mms?range=20", "/readyz", "/health"):
                assert made.client.get(target).status == 503
        finally:
            pair.primary.start()
        made.averages(history)
        collected(made, 10**8)
        pair.replica.start()


def test_a_primary_that_hangs_is_503_for_reads_and_writes(pair: Pair, history: History) -> None:
    with api(history, None) as made:
        made.averages(history)
        collected(made, 10**8)
        pair.primary.hold()
        try:
            for target in ("/BRLBTC/mms?range=20", "/history/BTC", "/readyz"):
                assert made.client.get(target).status == 503
            with pytest.raises(StoreUnavailable):
                collected(made, 10**8)
        finally:
            pair.primary.go_on()
        made.averages(history)
        collected(made, 10**8)


def test_a_connection_for_reads_gives_up_on_a_server_that_is_gone(
    pair: Pair, history: History
) -> None:
    engine = open_reads(f"{history.url}?application_name=mms", pair.replica.url(history.url))
    with engine.connect() as connection:
        used: Any = connection.connection.driver_connection
        given = used.info.get_parameters()
    engine.dispose()
    assert (
        given.items()
        >= {
            "port": str(pair.replica.port),
            "application_name": "mms",
            "connect_timeout": "2",
            "tcp_user_timeout": "2000",
            "keepalives_idle": "2",
            "keepalives_interval": "1",
            "keepalives_count": "2",
        }.items()
    )


def test_several_replicas_are_asked_in_the_order_of_their_names(
    pair: Pair, history: History
) -> None:
    name = history.url.rpartition("/")[2]
    hosts = f"host=127.0.0.1:1&host=127.0.0.1:{pair.replica.port}"
    engine = open_reads(history.url, f"postgresql://mms@/{name}?{hosts}")
    with structlog.testing.capture_logs() as logged, engine.connect():
        pass
    engine.dispose()
    assert [line["server"] for line in logged] == [f"127.0.0.1:{pair.replica.port}"]
