"""The collector's schedule over simulated days: no drift, no burst, no silence."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import structlog
from structlog.testing import capture_logs

from app.commands.command import Terminated
from app.core.errors import StoreUnavailable, UpstreamError, UpstreamUnavailable, rate_limited
from app.core.prices import Coin, RefusedPrice, StoredPrice
from app.services.prices import Collection
from app.workers.slots import MOST_JITTER, Collector

POLL = 300.0
START = 1_700_000_000.0
AT = 1_711_356_300


@dataclass
class World:
    """Time that passes only by waiting and by slow collections."""

    end: float
    now: float = START
    called: list[float] = field(default_factory=list)
    act: Callable[[int], Collection | float] = lambda number: Collection((), (), AT)

    def monotonic(self) -> float:
        return self.now

    def collector(self) -> Collector:
        return Collector(self.collect, monotonic=self.monotonic, wait=self.wait)

    def wait(self, timeout: float) -> None:
        assert timeout >= 0
        self.now += timeout
        if self.now >= self.end:
            raise Terminated

    def collect(self) -> Collection:
        self.called.append(self.now)
        found = self.act(len(self.called) - 1)
        if isinstance(found, Collection):
            return found
        self.now += found
        return Collection((), (), AT)


def run(world: World, jitter: Callable[[], float] = lambda: 0.0) -> list[dict[str, object]]:
    """Run a collector to the world's end; returns what it logged."""
    structlog.reset_defaults()
    with capture_logs() as lines, pytest.raises(Terminated):
        world.collector().run(POLL, jitter=jitter, tidy=lambda _last: 0)
    return [dict(line) for line in lines]


def away(retry_after: float | None = None) -> UpstreamError:
    return UpstreamUnavailable("away", host="source", retry_after=retry_after)


def test_jitter_moves_a_collection_but_never_the_schedule() -> None:
    world = World(START + 86_400)
    rng = random.Random(1)
    run(world, rng.random)
    late = [at - (START + n * POLL) for n, at in enumerate(world.called)]
    assert len(late) == 288
    assert all(0 <= seconds < MOST_JITTER for seconds in late)
    assert len(set(late[1:])) > 250


def test_a_day_with_outages_misses_no_slot_without_a_reason_and_never_bursts() -> None:
    world = World(START + 86_400)
    rng = random.Random(2)

    def act(number: int) -> Collection | float:
        if 20 <= number < 60:
            raise away()
        if 60 <= number < 64:
            raise away(retry_after=1_000.0)
        if number == 70:
            raise StoreUnavailable("the database does not answer")
        if number == 90:
            return 4_000.0
        return rng.random() * 20

    world.act = act
    lines = run(world, rng.random)
    slots = {round((at - START) // POLL) for at in world.called}
    skipped = {line["slot"] for line in lines if line["event"] == "price_slot_skipped"}
    gone = [line for line in lines if line["event"] == "price_slots_missed"]
    missed = sum(int(str(line["count"])) for line in gone)
    assert len(world.called) <= 288
    assert len(slots) == len(world.called), "two collections in one slot"
    assert not slots & skipped
    assert len(slots) + len(skipped) + missed == 288
    assert missed == 13
    failed = [line for line in lines if line["event"] == "price_collection_failed"]
    assert len(failed) == 45
    assert all(line["reason"] for line in lines if line["event"] != "prices_collected")
    gaps = [b - a for a, b in zip(world.called, world.called[1:], strict=False)]
    assert min(gaps) >= POLL - MOST_JITTER - 20


def test_a_turn_that_came_too_late_is_not_the_source_asking_to_wait() -> None:
    world = World(START + 3_600)

    def act(number: int) -> Collection | float:
        if number == 1:
            raise rate_limited("source", 900.0, by_host=False)
        if number == 5:
            raise rate_limited("source", 900.0, by_host=True)
        return Collection((), (), AT)

    world.act = act
    lines = run(world)
    assert world.called[2] - world.called[1] == POLL
    assert world.called[6] - world.called[5] == 900.0
    skipped = [line for line in lines if line["event"] == "price_slot_skipped"]
    assert [line["slot"] for line in skipped] == [6, 7]
    failed = [line["reason"] for line in lines if line["event"] == "price_collection_failed"]
    assert "next free turn" in str(failed[0])
    assert "asked to be left alone" in str(failed[1])


def test_the_tally_counts_every_slot_once() -> None:
    world = World(START + 86_400)
    ada = RefusedPrice(Coin("ADA", "cardano"), "No price.")
    btc = StoredPrice(1, "BTC", 1, "usd", 1, 1)

    def act(number: int) -> Collection | float:
        if number == 3:
            raise away(retry_after=POLL * 2 + 1)
        if number == 4:
            raise StoreUnavailable("the database does not answer")
        if number == 5:
            return POLL * 3 + 1
        return Collection((btc,), (ada,), AT)

    world.act = act
    structlog.reset_defaults()
    collector = world.collector()
    with capture_logs(), pytest.raises(Terminated):
        collector.run(POLL, jitter=lambda: 0.0, tidy=lambda _last: 0)
    found = collector.tally
    assert (found.failed, found.skipped, found.missed) == (2, 2, 3)
    assert found.collected == 288 - 7
    assert (found.stored, found.refused) == (found.collected - 1, found.collected - 1)


def test_nothing_is_tidied_before_the_time_of_a_collection_is_known() -> None:
    world = World(START + 86_400)
    tidied: list[float] = []

    def act(number: int) -> Collection | float:
        if number < 20:
            raise away()
        return Collection((), (), AT)

    def tidy(_last: Collection) -> int:
        tidied.append(world.now)
        return 0

    world.act = act
    with capture_logs(), pytest.raises(Terminated):
        world.collector().run(POLL, jitter=lambda: 0.0, tidy=tidy)
    assert tidied[:2] == [START + 20 * POLL, START + 32 * POLL]


def test_tidying_runs_once_an_hour_and_its_trouble_is_survived() -> None:
    world = World(START + 86_400)
    tidied: list[float] = []

    def tidy(collection: Collection) -> int:
        assert collection.collected_at == AT
        tidied.append(world.now)
        if len(tidied) == 3:
            raise StoreUnavailable("the database does not answer")
        return 5

    structlog.reset_defaults()
    with capture_logs() as lines, pytest.raises(Terminated):
        world.collector().run(POLL, jitter=lambda: 0.0, tidy=tidy)
    assert len(tidied) == 24
    assert sum(line["event"] == "prices_pruned" for line in lines) == 23
    assert sum(line["event"] == "price_pruning_failed" for line in lines) == 1
