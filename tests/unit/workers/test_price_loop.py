"""The collector's loop as it is wired up: its schedule, its pruning, its warnings, its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from app.core.errors import StoreUnavailable
from app.core.prices import Coin, SpotPrice
from app.db.memory_prices import MemoryPriceStore
from app.services.prices import Collection
from app.workers.price_collector import collect_once, loop, warn_of_settings
from app.workers.slots import JITTER_SHARE
from tests.support.api import NOW, FakeRuntime, settings

DAY = 86_400
BTC = Coin("BTC", "bitcoin")


@dataclass
class Watch:
    """Seconds that only waiting makes pass; the loop ends after so many waits."""

    waits_left: int
    now: float = 0.0
    waited: list[float] = field(default_factory=list)
    meanwhile: Callable[[float], None] = lambda seconds: None

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float) -> bool:
        self.waited.append(timeout)
        self.now += timeout
        self.meanwhile(timeout)
        self.waits_left -= 1
        return self.waits_left < 0


def test_the_slots_of_the_loop_are_jittered_by_chance_unless_told_otherwise() -> None:
    made = FakeRuntime().build(settings(price_poll_seconds=100))
    watch = Watch(40)
    begun: list[float] = []

    def once() -> Collection:
        begun.append(watch.now)
        return Collection((), ())

    tally = loop(made, once, monotonic=watch.monotonic, wait=watch.wait)
    late = [at - 100 * slot for slot, at in enumerate(begun)]
    assert tally.collected == len(begun) == 41
    assert late[0] == 0
    assert all(0 <= seconds < 100 * JITTER_SHARE for seconds in late[1:])
    assert len({round(seconds, 6) for seconds in late}) > 30


@pytest.mark.parametrize(("days", "left"), [(2, [1]), (0, [1, 3, 9])])
def test_the_loop_removes_what_is_older_than_the_retention_and_nothing_without_one(
    days: int, left: list[int]
) -> None:
    runtime = FakeRuntime()
    for age in (9, 3, 1):
        runtime.prices.add([SpotPrice(BTC, age, "usd", NOW - age * DAY)], NOW - age * DAY)
    made = runtime.build(settings(price_retention_days=days))
    with capture_logs() as lines:
        watch = Watch(0)
        loop(made, lambda: Collection((), ()), monotonic=watch.monotonic, wait=watch.wait)
    assert [price.price for price in runtime.prices.newest("BTC", "usd", 9)] == left
    assert [line["removed"] for line in lines if line["event"] == "prices_pruned"] == (
        [2] if days else []
    )


@pytest.mark.parametrize(
    ("values", "events"),
    [
        ({}, []),
        ({"price_poll_seconds": 268}, []),
        ({"price_poll_seconds": 267}, ["price_budget_too_small"]),
        (
            {
                "price_poll_seconds": 60,
                "coingecko_api_base_url": "https://pro-api.coingecko.com/api/v3",
            },
            [],
        ),
        ({"price_poll_seconds": 900}, []),
        ({"price_poll_seconds": 901}, ["prices_stale_between_polls"]),
        (
            {"price_poll_seconds": 60, "price_stale_seconds": 59},
            ["price_budget_too_small", "prices_stale_between_polls"],
        ),
    ],
)
def test_settings_that_will_go_wrong_are_said_at_the_start(
    values: dict[str, object], events: list[str]
) -> None:
    with capture_logs() as lines:
        warn_of_settings(settings(**values))
    assert [line["event"] for line in lines] == events
    assert all(line["log_level"] == "warning" for line in lines)
    assert all("PRICE_" in line["advice"] for line in lines)
    if values.get("price_poll_seconds") == 267:
        assert (lines[0]["calls_a_month"], lines[0]["free_plan"]) == (10_031, 10_000)
        assert "PRICE_POLL_SECONDS=268" in lines[0]["advice"]


class Unprunable(MemoryPriceStore):
    """A store that takes prices and removes none."""

    def prune(self, before: int) -> int:
        raise StoreUnavailable("the disk is full")


@pytest.mark.parametrize(("store", "code"), [(MemoryPriceStore, 0), (Unprunable, 1)])
def test_one_collection_whose_pruning_fails_is_told_apart_from_one_that_failed(
    store: type[MemoryPriceStore], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    made = FakeRuntime(prices=store()).build(settings(price_retention_days=1))
    stored = made.prices.add([SpotPrice(BTC, 7 * 10**12, "usd", NOW)], NOW)
    with capture_logs() as lines:
        ended = collect_once(made, lambda: Collection(tuple(stored), ()), as_json=True)
    said = capsys.readouterr().out
    assert ended == code
    assert '"stored":{"BTC":"70000.0"}' in said
    assert ("old prices could not be removed" in said) == bool(code)
    assert [line["reason"] for line in lines if line["event"] == "price_pruning_failed"] == (
        ["the disk is full"] * code
    )
