"""What the API reads from a real streaming replica, and when it leaves one alone.

A replica whose replay is paused is one that lags, for as long as a test likes.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, closing

import pytest
import structlog

from app import bootstrap
from app.db import schema
from app.db.cached import CHECK_EVERY
from app.db.replica import MOST_LAG, ReadServers
from app.db.session import open_engine, transaction
from tests.support import postgres
from tests.support.api import settings
from tests.support.candles import BTC
from tests.support.candles import DAY as INTERVAL
from tests.support.history import History
from tests.support.memcached import Memcached
from tests.support.patience import until
from tests.support.replica_api import (
    Pair,
    api,
    caught_up,
    collected,
    in_use,
    lagging,
    period,
    shown,
    told,
    usable,
)


def test_reads_come_from_the_replica_each_with_the_revision_of_its_own_rows(
    pair: Pair, history: History
) -> None:
    with api(history, pair.replica.url(history.url)) as made:
        assert in_use(made)
        before, old = made.averages(history)
        with lagging(pair.replica):
            history.next()
            version, got = made.averages(history)
            # The primary is one commit further: whoever reads rows there and the revision here mixes.
            assert (version, got.header("ETag")) == (before, old.header("ETag"))
            candles = made.client.get(f"/BRLBTC/candles?from={period(history)[0]}")
            gaps = made.client.get("/BRLBTC/gaps").json()
            (listed,) = made.client.get("/pairs").json()["pairs"]
            assert shown(history, candles) == before
            assert gaps["as_of"] == listed["as_of"] == candles.header("X-Data-As-Of")
        until(lambda: made.averages(history)[0] == before + 1)
        assert made.averages(history)[1].header("ETag") != old.header("ETag")


def test_processes_whose_replicas_lag_differently_share_a_ring_and_never_a_wrong_body(
    pair: Pair, history: History, memcached: Memcached
) -> None:
    cached = {"cache_url": memcached.url}
    with ExitStack() as stack:
        other = stack.enter_context(postgres.replica_of(pair.primary))
        apis = [
            stack.enter_context(api(history, server.url(history.url), **cached))
            for server in (pair.replica, other)
        ]
        until(lambda: all(in_use(each) for each in apis))
        seen: dict[tuple[int, int], set[str | None]] = {}

        def read_all() -> set[int]:
            """Read every window through both, with the revision asked for anew."""
            time.sleep(CHECK_EVERY)
            versions = set()
            for made in [*apis, *reversed(apis)]:
                for window in (20, 50, 200):
                    version, got = made.averages(history, window)
                    versions.add(version)
                    seen.setdefault((version, window), set()).add(got.header("ETag"))
            return versions

        for turn in range(6):
            behind, ahead = [(pair.replica, other), (other, pair.replica)][turn % 2]
            with lagging(behind):
                history.next()
                newest = len(history.versions) - 1
                caught_up(pair.primary, ahead)
                assert read_all() == {newest - 1, newest}
            caught_up(pair.primary, behind)
            assert read_all() == {newest}
        # One tag for one revision, whoever answers.
        assert {len(tags) for tags in seen.values()} == {1}
    assert memcached.stats()["get_hits"] > 0


def test_a_price_that_was_stored_is_in_the_history_at_once_however_far_the_replica_is_behind(
    pair: Pair, history: History
) -> None:
    with (
        api(history, pair.replica.url(history.url)) as one,
        api(history, pair.replica.url(history.url)) as other,
        lagging(pair.replica),
    ):
        for price in (1, 2, 3):
            stored = collected(one, price * 10**8)
            for made in (one, other):
                newest = made.client.get("/history/BTC?limit=1").json()[0]
                assert newest["id"] == stored
        judged = other.client.get("/anomaly/BTC").json()
        assert (judged["latest_price"], judged["previous_price"]) == (3, 2)


def test_a_replica_far_behind_is_left_alone_until_it_has_caught_up(
    pair: Pair, history: History
) -> None:
    now = [0.0]
    servers = ReadServers(history.url, pair.replica.url(history.url), monotonic=lambda: now[0])
    with structlog.testing.capture_logs() as logged, closing(servers):
        servers.look()
        assert usable(servers)
        with lagging(pair.replica):
            for _ in range(3):
                history.next()
                servers.look()
                now[0] += MOST_LAG / 3
            assert usable(servers)
            now[0] += MOST_LAG / 10
            servers.look()
            assert not usable(servers)
        caught_up(pair.primary, pair.replica)
        servers.look()
        assert usable(servers)
    assert told(logged) == [("database_broke", "replica"), ("database_recovered", "replica")]
    assert "more than 2 s behind" in logged[0]["reason"]


def test_a_replica_that_keeps_up_with_steady_commits_is_never_behind(
    pair: Pair, history: History
) -> None:
    now = [0.0]
    servers = ReadServers(history.url, pair.replica.url(history.url), monotonic=lambda: now[0])
    with closing(servers):
        servers.look()
        for _ in range(5):
            # Always one commit behind at the moment it is looked at, and never more.
            with lagging(pair.replica):
                history.next()
                servers.look()
            caught_up(pair.primary, pair.replica)
            now[0] += 0.9 * MOST_LAG
            assert usable(servers)


@pytest.mark.parametrize("version", [None, "0004"])
def test_a_replica_without_this_versions_schema_is_not_read(
    pair: Pair, history: History, version: str | None
) -> None:
    # A server of its own stands in: a true replica has the primary's schema, a moment later.
    older = pair.primary.create()
    engine = open_engine(older)
    if version is not None:
        with transaction(engine) as connection:
            schema.upgrade(connection, version)
    with structlog.testing.capture_logs() as logged, api(history, older) as made:
        for _ in range(3):
            made.averages(history)
        assert made.client.get("/readyz").status == 200
        assert made.health()["replica"] == "degraded"
    engine.dispose()
    assert told(logged) == [("database_broke", "replica")]


def test_a_database_that_does_not_exist_yet_is_not_an_error(pair: Pair, history: History) -> None:
    with api(history, pair.replica.url("postgresql://mms@127.0.0.1/not_made_yet")) as made:
        made.averages(history)
        assert made.health()["replica"] == "degraded"


def test_another_database_is_never_read_not_even_without_the_primary(pair: Pair) -> None:
    mine, foreign = pair.primary.create(), pair.primary.create()
    with ExitStack() as stack:
        history = stack.enter_context(closing(History(mine, days=250)))
        other = stack.enter_context(closing(History(foreign, days=260)))
        other.next()
        caught_up(pair.primary, pair.replica)
        # On the replica's server, so that it lives on when the primary does not.
        made = stack.enter_context(api(history, pair.replica.url(foreign)))
        for _ in range(3):
            made.averages(history)
        assert not in_use(made)
        pair.primary.stop("fast")
        try:
            assert made.client.get("/BRLBTC/mms?range=20").status == 503
            assert made.client.get("/readyz").status == 503
        finally:
            pair.primary.start()
        made.averages(history)


def test_commands_neither_read_nor_watch_the_replica(pair: Pair, history: History) -> None:
    chosen = settings(db_url=history.url, db_read_url=pair.replica.url(history.url))
    with lagging(pair.replica):
        history.next()
        made = bootstrap.build(chosen)
        try:
            assert made.series.state(BTC, INTERVAL).revision == history.revisions[-1]
            assert made.replica_healthy is None
            assert not [t for t in threading.enumerate() if t.name == "replica-watch"]
        finally:
            made.close()
