"""What becomes of reads when a replica or its primary stops, hangs or comes back.

A server that is held by SIGSTOP keeps its connections open and says nothing.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import structlog
from sqlalchemy import text

from app.core.errors import StoreUnavailable
from app.db.replica import ANSWER_SECONDS, ReadServers
from tests.support.candles import BTC
from tests.support.candles import DAY as INTERVAL
from tests.support.history import History
from tests.support.patience import until
from tests.support.replica_api import Api, Pair, api, caught_up, collected, in_use, told, usable


def test_a_replica_that_stops_costs_nobody_a_read_and_two_lines_of_log(
    pair: Pair, history: History
) -> None:
    with (
        structlog.testing.capture_logs() as logged,
        api(history, pair.replica.url(history.url)) as made,
    ):
        pair.replica.stop()
        try:
            for _ in range(20):
                made.averages(history)
            assert made.health() == {
                "status": "degraded",
                "database": "ok",
                "replica": "degraded",
                "cache": "ok",
            }
            assert made.client.get("/readyz").status == 200
            history.next()
            assert made.averages(history)[0] == len(history.versions) - 1
        finally:
            pair.replica.start()
        until(lambda: in_use(made))
        made.averages(history)
        assert made.health()["status"] == "ok"
    assert told(logged) == [("database_broke", "replica"), ("database_recovered", "replica")]


def test_a_replica_that_hangs_is_waited_for_once_and_within_bounds(
    pair: Pair, history: History
) -> None:
    took: list[float] = []

    def read(made: Api) -> None:
        for _ in range(3):
            begun = time.monotonic()
            made.runtime.averages.read(BTC, INTERVAL, 20, 0, history.last)
            took.append(time.monotonic() - begun)

    with (
        structlog.testing.capture_logs() as logged,
        api(history, pair.replica.url(history.url)) as made,
        ThreadPoolExecutor(8) as pool,
    ):
        for future in [pool.submit(read, made) for _ in range(8)]:
            future.result(timeout=30)  # so that each thread leaves a connection behind
        took.clear()
        pair.replica.hold()
        try:
            for future in [pool.submit(read, made) for _ in range(8)]:
                future.result(timeout=30)
            assert max(took) < 3 * ANSWER_SECONDS
            took.clear()
            read(made)
            assert max(took) < ANSWER_SECONDS / 2
            assert made.client.get("/readyz").status == 200
        finally:
            pair.replica.go_on()
        until(lambda: in_use(made))
    assert told(logged) == [("database_broke", "replica"), ("database_recovered", "replica")]


def test_a_long_read_is_not_cut_off_while_its_server_is_well(pair: Pair, history: History) -> None:
    servers = ReadServers(history.url, pair.replica.url(history.url))
    servers.start()
    assert servers.replica is not None
    with closing(servers), servers.replica.engine.connect() as connection:
        slept = connection.scalar(
            text("SELECT pg_sleep(:seconds)"), {"seconds": 3 * ANSWER_SECONDS / 2}
        )
    assert slept == ""
    assert usable(servers)


def test_reads_go_on_while_the_primary_is_away(pair: Pair, history: History) -> None:
    with (
        structlog.testing.capture_logs() as logged,
        api(history, pair.replica.url(history.url)) as made,
    ):
        stored = collected(made, 10**8)
        caught_up(pair.primary, pair.replica)
        pair.primary.stop("fast")
        try:
            for _ in range(5):
                made.averages(history)
                assert made.client.get("/BRLBTC/gaps").status == 200
                assert made.client.get("/history/BTC?limit=1").json()[0]["id"] == stored
            until(lambda: made.health()["database"] == "degraded")
            assert made.health()["replica"] == "ok"
            assert made.client.get("/readyz").status == 200
            with pytest.raises(StoreUnavailable):
                collected(made, 10**8)
        finally:
            pair.primary.start()
        until(lambda: made.health()["status"] == "ok")
        assert collected(made, 2 * 10**8) > stored
    assert told(logged) == [("database_broke", "primary"), ("database_recovered", "primary")]


def test_a_primary_that_hangs_holds_up_neither_reads_nor_writes_for_long(
    pair: Pair, history: History
) -> None:
    with api(history, pair.replica.url(history.url)) as made, ThreadPoolExecutor(8) as pool:
        collected(made, 10**8)
        caught_up(pair.primary, pair.replica)
        pair.primary.hold()
        try:
            begun = time.monotonic()
            writing = [pool.submit(collected, made, 10**8) for _ in range(8)]
            for _ in range(5):
                made.averages(history)
            assert time.monotonic() - begun < ANSWER_SECONDS
            assert made.client.get("/history/BTC?limit=1").status == 200
            for future in writing:
                with pytest.raises(StoreUnavailable):
                    future.result(timeout=30)
            assert time.monotonic() - begun < 4 * ANSWER_SECONDS
            assert made.health()["database"] == "degraded"
            assert made.client.get("/readyz").status == 200
            # From now on nobody waits for it to read a price.
            begun = time.monotonic()
            assert made.client.get("/history/BTC?limit=1").status == 200
            assert time.monotonic() - begun < ANSWER_SECONDS
        finally:
            pair.primary.go_on()
        until(lambda: made.health()["status"] == "ok")
        assert collected(made, 10**8) > 0


def test_a_server_without_a_replica_that_hangs_is_503_within_seconds_and_then_at_once(
    pair: Pair, history: History
) -> None:
    with api(history, None) as made:
        made.averages(history)
        assert "replica" not in made.health()
        pair.primary.hold()
        try:
            begun = time.monotonic()
            assert made.client.get("/BRLBTC/mms?range=20").status == 503
            assert time.monotonic() - begun < 3 * ANSWER_SECONDS
            for target in ("/BRLBTC/mms?range=20", "/history/BTC", "/BRLBTC/gaps", "/readyz"):
                begun = time.monotonic()
                assert made.client.get(target).status == 503
                assert time.monotonic() - begun < ANSWER_SECONDS / 2
        finally:
            pair.primary.go_on()
        until(lambda: made.health()["status"] == "ok")
        made.averages(history)


def test_with_both_away_the_answer_is_503_and_afterwards_200_again(
    pair: Pair, history: History
) -> None:
    with api(history, pair.replica.url(history.url)) as made:
        pair.replica.stop()
        pair.primary.stop()
        try:
            for target in ("/BRLBTC/mms?range=20", "/history/BTC", "/readyz", "/health"):
                assert made.client.get(target).status == 503
        finally:
            pair.primary.start()
        # At once, not when somebody next looks: the primary lives.
        made.averages(history)
        pair.replica.start()
        until(lambda: in_use(made))
        made.averages(history)
