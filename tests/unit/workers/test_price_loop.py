"""The collector's loop as it is wired up: its schedule, its pruning, its warnings, its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from itertools import pairwise

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from app.core.errors import StoreUnavailable
from app.core.prices import COIN_IDS, Coin, RefusedPrice, SpotPrice
from app.db.memory_prices import MemoryPriceStore
from app.events.types import PriceCollected
from app.services.prices import PRUNE_EVERY, Collection
from app.workers.price_collector import collect_once, loop, warn_of_settings
from app.workers.price_table import RecentPrices
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


def test_the_schedule_hangs_on_no_clock_that_can_be_set() -> None:
    runtime = FakeRuntime()
    made = runtime.build(settings(price_poll_seconds=300))
    begun: list[float] = []

    def meanwhile(seconds: float) -> None:
        runtime.now += seconds - (7_200 if watch.waits_left == 5 else 0)

    watch = Watch(10, meanwhile=meanwhile)

    def once() -> Collection:
        begun.append(watch.now)
        return Collection((), ())

    with capture_logs() as lines:
        loop(made, once, monotonic=watch.monotonic, wait=watch.wait, jitter=lambda: 0.0)
    assert [b - a for a, b in pairwise(begun)] == [300.0] * 10
    [stepped] = [line for line in lines if line["event"] == "price_clock_stepped"]
    assert stepped["seconds"] == -7_200


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


def test_the_loop_prunes_again_after_an_hour() -> None:
    runtime = FakeRuntime()
    made = runtime.build(settings(price_retention_days=1, price_poll_seconds=1_800))

    def meanwhile(seconds: float) -> None:
        runtime.now += seconds
        runtime.prices.add([SpotPrice(BTC, 1, "usd", 1)], int(runtime.now) - 2 * DAY)

    watch = Watch(5, meanwhile=meanwhile)
    with capture_logs() as lines:
        loop(
            made,
            lambda: Collection((), ()),
            monotonic=watch.monotonic,
            wait=watch.wait,
            jitter=lambda: 0.0,
        )
    removed = [line["removed"] for line in lines if line["event"] == "prices_pruned"]
    assert removed == [PRUNE_EVERY / 1_800] * 2


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


def told(
    symbol: str, price: int, *, stale: bool = False, anomalous: bool | None = False
) -> Collection:
    """A collection of one price."""
    event = PriceCollected(symbol, price, "usd", 1_711_829_417, NOW, stale, anomalous)
    return Collection((), (), (event,))


def drawn(recent: RecentPrices, width: int) -> list[str]:
    """The table as it stands on a terminal so wide."""
    page = StringIO()
    Console(file=page, width=width, height=24).print(recent.table(width))
    return page.getvalue().splitlines()


@pytest.mark.parametrize(("width", "prices"), [(63, 1), (80, 2), (120, 4), (200, 6)])
def test_the_table_shows_full_prices_as_many_as_the_terminal_holds(width: int, prices: int) -> None:
    recent = RecentPrices([Coin(symbol, coin_id) for symbol, coin_id in COIN_IDS.items()])
    for number in range(8):
        recent.add(told("BTC", 10_987_654_321_012 + number, anomalous=number == 7))
    lines = drawn(recent, width)
    assert max(map(len, lines)) <= width
    [row] = [line for line in lines if "BTC" in line]
    shown = [text for text in row.split() if text.startswith("109876.")]
    assert shown == [f"109876.543210{19 - number}" for number in range(prices)]
    assert "20:10:17" in row
    assert "anomalous" in row
    assert "…" not in "".join(lines)
    [head] = [line for line in lines if "as of UTC" in line]
    assert "latest" in head


def test_the_table_marks_what_is_not_as_it_should_be() -> None:
    recent = RecentPrices([BTC, Coin("ADA", "cardano")])

    def row(symbol: str) -> str:
        return next(line for line in drawn(recent, 80) if symbol in line)

    assert row("ADA").replace("│", "").split() == ["ADA", "-"]
    recent.add(told("BTC", 10**12, stale=True))
    assert "stale" in row("BTC")
    recent.add(Collection((), (RefusedPrice(BTC, "No price."),)))
    assert "refused" in row("BTC")
    assert "10000.0" in row("BTC")
    recent.add(told("BTC", 10**12))
    assert not any(mark in row("BTC") for mark in ("stale", "refused", "anomalous"))


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
