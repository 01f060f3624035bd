"""The collector's loop as it is wired up: its schedule, its pruning, its warnings, its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from app.commands.command import Terminated
from app.core.errors import StoreUnavailable
from app.core.prices import Coin, SpotPrice
from app.services.prices import Collection
from app.testing.prices import MemoryPriceStore
from app.workers.price_collector import collect_once, loop, warn_of_budget
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

    def wait(self, timeout: float) -> None:
        self.waited.append(timeout)
        self.now += timeout
        self.meanwhile(timeout)
        self.waits_left -= 1
        if self.waits_left < 0:
            raise Terminated


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
        loop(made, lambda: Collection((), (), NOW), monotonic=watch.monotonic, wait=watch.wait)
    assert [price.price for price in runtime.prices.newest("BTC", "usd", 9)] == left
    assert [line["removed"] for line in lines if line["event"] == "prices_pruned"] == (
        [2] if days else []
    )


def test_polling_beyond_the_month_s_calls_is_said_at_the_start() -> None:
    with capture_logs() as lines:
        warn_of_budget(settings(price_poll_seconds=268))
        warn_of_budget(settings(price_poll_seconds=267))
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("price_budget_too_small", "warning")
    assert (line["calls_a_month"], line["free_plan"]) == (10_031, 10_000)
    assert "PRICE_POLL_SECONDS=268" in line["advice"]


class Unprunable(MemoryPriceStore):
    """A store that takes prices and removes none."""

    def prune(self, before: int, after: int) -> int:
        raise StoreUnavailable("the disk is full")


@pytest.mark.parametrize(("store", "code"), [(MemoryPriceStore, 0), (Unprunable, 1)])
def test_one_collection_whose_pruning_fails_is_told_apart_from_one_that_failed(
    store: type[MemoryPriceStore], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    made = FakeRuntime(prices=store()).build(settings(price_retention_days=1))
    stored = made.prices.add([SpotPrice(BTC, 7 * 10**12, "usd", NOW)], NOW)
    with capture_logs() as lines:
        ended = collect_once(made, lambda: Collection(tuple(stored), (), NOW), as_json=True)
    said = capsys.readouterr().out
    assert ended == code
    assert '"stored":{"BTC":"70000.0"}' in said
    assert ("old prices could not be removed" in said) == bool(code)
    assert [line["reason"] for line in lines if line["event"] == "price_pruning_failed"] == (
        ["the disk is full"] * code
    )
