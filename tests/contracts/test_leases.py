"""One contract for every kind of lease: one holder at a time, and never for longer than agreed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.core.ports import Leases
from app.db import schema
from app.db.leases import LEASE_SECONDS, SqlLeases
from app.db.memory import MemoryLeases
from app.db.session import open_engine

NAME = "load BTC-BRL 1d"
NOW = 1_711_670_400
Holder = Callable[[str], Leases]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def holder(request: pytest.FixtureRequest) -> Iterator[Holder]:
    """Makes the leases of a named holder; all holders share what is held."""
    if request.param == "memory":
        table: dict[str, tuple[str, float]] = {}
        yield lambda name: MemoryLeases(name, table, LEASE_SECONDS)
        return
    if request.param == "sqlite":
        url = request.getfixturevalue("sqlite_url")
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create()
    # Holders are processes: each has its own connections.
    engines = {name: open_engine(url) for name in ("one", "other")}
    schema.migrate(engines["one"])
    yield lambda name: SqlLeases(engines.get(name, engines["other"]), name)
    for engine in engines.values():
        engine.dispose()
    if request.param == "postgres":
        server.drop(url)


def test_the_second_is_told_who_holds_it(holder: Holder) -> None:
    one, other = holder("one"), holder("other")
    assert one.take(NAME, NOW) is None
    assert other.take(NAME, NOW) == "one"
    assert other.take(NAME, NOW + LEASE_SECONDS - 1) == "one"


def test_names_do_not_know_each_other(holder: Holder) -> None:
    one, other = holder("one"), holder("other")
    assert one.take(NAME, NOW) is None
    assert other.take("load ETH-BRL 1d", NOW) is None
    assert one.take("load ETH-BRL 1d", NOW) == "other"


def test_a_lease_ends_by_itself(holder: Holder) -> None:
    one, other = holder("one"), holder("other")
    assert one.take(NAME, NOW) is None
    assert other.take(NAME, NOW + LEASE_SECONDS) is None
    assert one.take(NAME, NOW + LEASE_SECONDS) == "other"


def test_taking_again_renews(holder: Holder) -> None:
    one, other = holder("one"), holder("other")
    for turn in range(5):
        assert one.take(NAME, NOW + turn * (LEASE_SECONDS - 1)) is None
    until = NOW + 4 * (LEASE_SECONDS - 1) + LEASE_SECONDS
    assert other.take(NAME, until - 1) == "one"
    assert other.take(NAME, until) is None


def test_a_lease_that_ended_is_still_its_holders_until_another_takes_it(holder: Holder) -> None:
    one, other = holder("one"), holder("other")
    assert one.take(NAME, NOW) is None
    assert one.take(NAME, NOW + 10 * LEASE_SECONDS) is None
    assert other.take(NAME, NOW + 10 * LEASE_SECONDS) == "one"


def test_what_is_given_back_is_free_at_once(holder: Holder) -> None:
    one, other = holder("one"), holder("other")
    assert one.take(NAME, NOW) is None
    one.release(NAME)
    assert other.take(NAME, NOW) is None
    assert one.take(NAME, NOW) == "other"


def test_nobody_gives_back_what_another_holds(holder: Holder) -> None:
    one, other = holder("one"), holder("other")
    assert one.take(NAME, NOW) is None
    other.release(NAME)
    assert other.take(NAME, NOW) == "one"
    # Also not who held it, was late, and has lost it.
    assert other.take(NAME, NOW + LEASE_SECONDS) is None
    one.release(NAME)
    assert one.take(NAME, NOW + LEASE_SECONDS) == "other"


def test_what_nobody_holds_may_be_given_back(holder: Holder) -> None:
    holder("one").release(NAME)
    assert holder("other").take(NAME, NOW) is None


@pytest.mark.parametrize("holder", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("before", ["free", "expired"])
def test_of_eight_who_want_it_at_once_exactly_one_gets_it(holder: Holder, before: str) -> None:
    rounds, wanting = 10, 8
    start = Barrier(wanting)
    if before == "expired":
        for turn in range(rounds):
            holder("late").take(f"{NAME} {turn}", NOW - LEASE_SECONDS)

    def take(number: int) -> list[str | None]:
        leases = holder(f"holder {number}")
        answers = []
        for turn in range(rounds):
            start.wait(timeout=20)
            answers.append(leases.take(f"{NAME} {turn}", NOW))
        return answers

    with ThreadPoolExecutor(wanting) as pool:
        answers = list(pool.map(take, range(wanting)))
    for told in zip(*answers, strict=True):
        [winner] = [number for number, who in enumerate(told) if who is None]
        others = [who for who in told if who is not None]
        assert others == [f"holder {winner}"] * (wanting - 1)
