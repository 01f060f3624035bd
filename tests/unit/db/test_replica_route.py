"""Which server a read goes to, and which one instead. Nothing is connected: the stores are names."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
import structlog
from sqlalchemy.exc import DBAPIError, OperationalError

from app.core.errors import StoreError, StoreUnavailable, StoreUnusable
from app.db.bounded import NoAnswer
from app.db.replica import Route, Server, tried_again

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def broken(original: Exception, *, invalidated: bool = False) -> StoreUnavailable:
    """What `app.db.session` makes of a driver's error."""
    error = StoreUnavailable("the database does not answer")
    error.__cause__ = OperationalError("SELECT", {}, original)
    assert isinstance(error.__cause__, DBAPIError)
    error.__cause__.connection_invalidated = invalidated
    return error


class Reads:
    """A read that fails where a test says so, and remembers whom it asked."""

    def __init__(self, **errors: StoreError) -> None:
        self.errors: dict[str, StoreError] = errors
        self.asked: list[str] = []

    def __call__(self, store: str) -> str:
        self.asked.append(store)
        if store in self.errors:
            raise self.errors[store]
        return f"from {store}"


@pytest.fixture
def alarm() -> threading.Event:
    """What wakes whoever looks at the servers."""
    return threading.Event()


@pytest.fixture
def servers(alarm: threading.Event) -> Iterator[tuple[Server, Server]]:
    """A replica and a primary that are both in use."""
    made = [Server(name, NOWHERE, "DB_URL", alarm) for name in ("replica", "primary")]
    for server in made:
        server.use()
    yield made[0], made[1]
    for server in made:
        server.close()


@pytest.fixture
def route(servers: tuple[Server, Server]) -> Route[str]:
    """The replica first."""
    return Route((servers[0], "replica"), (servers[1], "primary"))


def test_the_preferred_server_answers_alone(route: Route[str], alarm: threading.Event) -> None:
    reads = Reads()
    assert route.ask(reads) == "from replica"
    assert reads.asked == ["replica"]
    assert not alarm.is_set()


def test_a_server_that_fails_is_asked_once_and_then_left_alone(
    route: Route[str], servers: tuple[Server, Server], alarm: threading.Event
) -> None:
    reads = Reads(replica=StoreUnavailable("gone"))
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            assert route.ask(reads) == "from primary"
        assert reads.asked == ["replica", "primary", "primary", "primary"]
        assert alarm.is_set()
        servers[0].use()
        servers[0].use()
    reads.errors.clear()
    assert route.ask(reads) == "from replica"
    assert [(line["event"], line["server"]) for line in logged] == [
        ("database_broke", "replica"),
        ("database_recovered", "replica"),
    ]
    assert logged[0]["reason"] == "gone"


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), StoreUnusable("not migrated")])
def test_any_trouble_of_the_replica_is_none_of_the_readers(
    route: Route[str], error: StoreError
) -> None:
    assert route.ask(Reads(replica=error)) == "from primary"


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.SerializationFailure("conflict with recovery"),
        psycopg.errors.QueryCanceled("statement timeout"),
    ],
)
def test_a_server_that_cancels_one_read_stays_in_use(
    route: Route[str], servers: tuple[Server, Server], alarm: threading.Event, error: Exception
) -> None:
    with structlog.testing.capture_logs() as logged:
        assert route.ask(Reads(replica=broken(error))) == "from primary"
    assert servers[0].usable
    assert not alarm.is_set()
    assert logged == []


def test_a_server_that_is_left_alone_is_the_last_resort(
    route: Route[str], servers: tuple[Server, Server]
) -> None:
    servers[0].leave("it is behind")
    reads = Reads(primary=StoreUnavailable("gone"))
    assert route.ask(reads) == "from replica"
    assert reads.asked == ["primary", "replica"]


def test_a_server_that_was_never_seen_as_a_replica_is_no_resort_at_all(
    alarm: threading.Event,
) -> None:
    replica, primary = (Server(name, NOWHERE, "DB_URL", alarm) for name in ("replica", "primary"))
    primary.use()
    reads = Reads(primary=StoreUnavailable("gone"))
    with pytest.raises(StoreUnavailable, match="gone"):
        Route((replica, "replica"), (primary, "primary")).ask(reads)
    assert reads.asked == ["primary"]
    for server in (replica, primary):
        server.close()


def test_when_nobody_answers_the_caller_learns_what_may_pass(route: Route[str]) -> None:
    reads = Reads(replica=StoreUnusable("old schema"), primary=StoreUnavailable("gone"))
    with pytest.raises(StoreUnavailable, match="gone"):
        route.ask(reads)
    with pytest.raises(StoreUnavailable, match="gone"):
        route.ask(reads)


def test_a_connection_that_died_meanwhile_is_replaced_once_without_a_word(
    route: Route[str], servers: tuple[Server, Server]
) -> None:
    asked: list[str] = []

    def read(store: str) -> str:
        asked.append(store)
        if len(asked) == 1:
            raise broken(psycopg.OperationalError("server closed"), invalidated=True)
        return store

    assert route.ask(read) == "replica"
    assert asked == ["replica", "replica"]
    assert servers[0].usable


def test_nobody_waits_twice_for_a_server_that_hangs() -> None:
    asked: list[int] = []

    def read() -> str:
        asked.append(1)
        raise broken(NoAnswer("in vain"), invalidated=True)

    with pytest.raises(StoreUnavailable):
        tried_again(read)
    assert len(asked) == 1
