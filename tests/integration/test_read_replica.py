"""The API over a real PostgreSQL primary and its streaming replica, and what becomes of reads.

A replica whose replay is paused is one that lags, for as long as a test likes; one that is held by SIGSTOP
keeps its connections open and says nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from app import bootstrap
from app.bootstrap import Runtime
from app.core.errors import StoreUnavailable
from app.core.market import DAY
from app.core.prices import Coin, SpotPrice
from app.core.settings import Settings
from app.db import schema
from app.db.cached import CHECK_EVERY
from app.db.replica import ANSWER_SECONDS, MOST_LAG, ReadServers
from app.db.session import open_engine, transaction
from app.main import create_app
from tests.conftest import absent
from tests.support import postgres
from tests.support.api import Answer, Client, settings, started
from tests.support.candles import BTC
from tests.support.candles import DAY as INTERVAL
from tests.support.history import History
from tests.support.memcached import Memcached
from tests.support.patience import until
from tests.support.postgres import Postgres


@dataclass(frozen=True)
class Pair:
    """A primary and its replica."""

    primary: Postgres
    replica: Postgres


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two servers of this module's own; a test leaves them running as it found them."""
    folder = postgres.tools()
    if folder is None:
        absent("postgres", "PostgreSQL's server programs (initdb, pg_ctl) are not installed")
    with (
        postgres.running(folder, "fsync=off") as primary,
        postgres.replica_of(primary) as replica,
    ):
        yield Pair(primary, replica)


@pytest.fixture
def history(pair: Pair) -> Iterator[History]:
    """A database with 260 days, which the replica has as well."""
    with closing(History(pair.primary.create(), days=260)) as made:
        caught_up(pair.primary, pair.replica)
        yield made


def caught_up(primary: Postgres, replica: Postgres) -> None:
    """Wait until the replica has everything."""
    wanted = primary.sql("SELECT pg_current_wal_lsn()")
    until(lambda: replica.sql(f"SELECT pg_last_wal_replay_lsn() >= '{wanted}'") == "t")


@contextmanager
def lagging(replica: Postgres) -> Iterator[None]:
    """Nothing new arrives at the replica."""
    replica.sql("SELECT pg_wal_replay_pause()")
    until(lambda: replica.sql("SELECT pg_get_wal_replay_pause_state()") == "paused")
    try:
        yield
    finally:
        replica.sql("SELECT pg_wal_replay_resume()")


@dataclass(frozen=True)
class Api:
    """The application in this process, with its real database and cache."""

    client: Client
    runtime: Runtime

    def averages(self, history: History, window: int = 20) -> tuple[int, Answer]:
        """The commit that the reply shows, body and headers alike, and the reply."""
        first, last = period(history)
        got = self.client.get(f"/BRLBTC/mms?range={window}&from={first}&to={last}")
        assert got.status == 200, got.body
        version = shown(history, got)
        assert got.body == history.body(version, window, first, last)
        return version, got

    def health(self) -> dict[str, Any]:
        """What /health says."""
        said: dict[str, Any] = self.client.get("/health").json()
        return said


def period(history: History) -> tuple[int, int]:
    """A period that all of the history's commits change."""
    begin = max(history.versions[0])
    return begin - 300 * DAY, begin + 60 * DAY


def shown(history: History, got: Answer) -> int:
    """The number of the commit that X-Data-As-Of stands for."""
    as_of = datetime.fromisoformat(got.header("X-Data-As-Of") or "")
    return history.version(int(as_of.timestamp()))


@contextmanager
def api(history: History, replica: str | None, **overrides: Any) -> Iterator[Api]:
    """An API over the database of `history`, with its replica at this URL."""
    built: list[Runtime] = []

    def build(chosen: Settings) -> Runtime:
        built.append(bootstrap.for_api(chosen))
        return built[0]

    mine = {"cache_url": "none://", "allowed_pairs": "BRLBTC", "access_log": "off", **overrides}
    chosen = settings(db_url=history.url, db_read_url=replica, **mine)
    with started(create_app(chosen, build)) as client:
        yield Api(client, built[0])


def usable(servers: ReadServers) -> bool:
    assert servers.replica is not None
    return servers.replica.usable


def told(logged: Sequence[structlog.typing.EventDict]) -> list[tuple[str, str]]:
    """What was said of the servers."""
    events = ("database_broke", "database_recovered")
    return [(line["event"], line["server"]) for line in logged if line["event"] in events]


def in_use(made: Api) -> bool:
    healthy = made.runtime.replica_healthy
    assert healthy is not None
    return healthy()


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


def collected(made: Api, price: int) -> int:
    """Store a price as POST /collect-once does; returns its id."""
    now = int(time.time())
    spot = SpotPrice(Coin("BTC", "bitcoin"), price, "usd", now)
    return made.runtime.prices.add([spot], now)[0].id


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
