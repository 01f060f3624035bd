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
from app.workers.price_collector import collect_once, log_budget, loop
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


@pytest.mark.parametrize(
    ("poll", "calls", "event", "needed"),
    [
        (300, 10_000, "price_budget", 8_928),
        (268, 10_000, "price_budget", 9_995),
        (267, 10_000, "price_budget_too_small", 10_032),
        (60, 500_000, "price_budget", 44_640),
    ],
)
def test_the_start_says_what_the_collector_needs_of_a_month_s_calls_and_warns_if_it_is_too_much(
    poll: int, calls: int, event: str, needed: int
) -> None:
    with capture_logs() as lines:
        log_budget(settings(price_poll_seconds=poll, coingecko_monthly_calls=calls))
        log_budget(settings(price_poll_seconds=1, coingecko_monthly_calls="off"))
    (line,) = lines
    assert (line["event"], line["calls_a_month"], line["monthly_calls"]) == (event, needed, calls)
    if needed > calls:
        assert line["log_level"] == "warning"
        assert "PRICE_POLL_SECONDS=268" in line["advice"]
    else:
        assert (line["log_level"], line["left_for_requests"]) == ("info", calls - needed)


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
