"""One contract for every kind of lease: one holder at a time, and never for longer than agreed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.core.ports import Leases
from app.db import schema
from app.db.database import open_engine
from app.db.stores.leases import LEASE_SECONDS, SqlLeases
from app.testing.series import MemoryLeases
from tests.support.postgres import Postgres

NOW = 1_711_670_400
Holder = Callable[[str], Leases]


ALONE = {"holder": ["memory", "sqlite"]}
SERVICES = {"holder": ["postgres"]}


@pytest.fixture(scope="module")
def holder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Holder]:
    """Makes the leases of a named holder; all holders share what is held."""
    if request.param == "memory":
        table: dict[str, tuple[str, float]] = {}
        yield lambda name: MemoryLeases(name, table, LEASE_SECONDS)
        return
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('leases') / 'mms.db'}"
    else:
        server: Postgres = request.getfixturevalue("postgres_server")
        url = server.create()
    # Holders are processes: each has its own connections.
    engines = {name: open_engine(url) for name in ("one", "other")}
    schema.migrate(engines["one"])
    yield lambda name: SqlLeases(engines.get(name, engines["other"]), name)
    for engine in engines.values():
        engine.dispose()
    if request.param == "postgres":
        server.drop(url)


@pytest.fixture
def work(request: pytest.FixtureRequest) -> str:
    """The name of a piece of work that only this test knows."""
    return f"work of {request.node.name}"


def test_the_second_is_told_who_holds_it(holder: Holder, work: str) -> None:
    one, other = holder("one"), holder("other")
    assert one.take(work, NOW) is None
    assert other.take(work, NOW) == "one"
    assert other.take(work, NOW + LEASE_SECONDS - 1) == "one"


def test_taking_again_renews_and_a_lease_ends_by_itself(holder: Holder, work: str) -> None:
    one, other = holder("one"), holder("other")
    for turn in range(5):
        assert one.take(work, NOW + turn * (LEASE_SECONDS - 1)) is None
    until = NOW + 4 * (LEASE_SECONDS - 1) + LEASE_SECONDS
    assert other.take(work, until - 1) == "one"
    assert other.take(work, until) is None


def test_a_lease_taken_by_a_clock_that_was_far_ahead_blocks_nobody(
    holder: Holder, work: str
) -> None:
    one, other = holder("one"), holder("other")
    assert one.take(work, NOW + LEASE_SECONDS) is None
    assert other.take(work, NOW) == "one"
    assert one.take(work, NOW + LEASE_SECONDS + 1) is None
    assert other.take(work, NOW) is None
    assert one.take(work, NOW) == "other"


def test_what_its_holder_gives_back_is_free_at_once(holder: Holder, work: str) -> None:
    one, other = holder("one"), holder("other")
    assert one.take(work, NOW) is None
    other.release(work)
    assert other.take(work, NOW) == "one"
    # Also not who held it, was late, and has lost it.
    assert other.take(work, NOW + LEASE_SECONDS) is None
    one.release(work)
    assert one.take(work, NOW + LEASE_SECONDS) == "other"
    other.release(work)
    assert one.take(work, NOW + LEASE_SECONDS) is None


def test_of_eight_who_want_it_at_once_exactly_one_gets_it(holder: Holder, work: str) -> None:
    rounds, wanting = 6, 8
    start = Barrier(wanting)
    for turn in range(0, rounds, 2):  # every other one is free, the rest has expired
        holder("late").take(f"{work} {turn}", NOW - LEASE_SECONDS)

    def take(number: int) -> list[str | None]:
        leases = holder(f"holder {number}")
        answers = []
        for turn in range(rounds):
            start.wait(timeout=20)
            answers.append(leases.take(f"{work} {turn}", NOW))
        return answers

    with ThreadPoolExecutor(wanting) as pool:
        answers = list(pool.map(take, range(wanting)))
    for told in zip(*answers, strict=True):
        [winner] = [number for number, who in enumerate(told) if who is None]
        others = [who for who in told if who is not None]
        assert others == [f"holder {winner}"] * (wanting - 1)
