"""Collecting spot prices: what is stored is told, whatever becomes of its judgement."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core.errors import StoreUnavailable, UpstreamUnavailable
from app.core.market import DAY
from app.core.prices import COIN_IDS, Coin, SpotPrice, StoredPrice, Thresholds
from app.events.types import AnomalyDetected, Event, PriceCollected, PriceRefused
from app.services.anomalies import PriceRules
from app.services.prices import Collection, collect, collect_unless_recent, prune
from app.testing.prices import MemoryPriceStore
from tests.support.api import NOW, FakePrices

BTC, ETH = (Coin(symbol, COIN_IDS[symbol]) for symbol in ("BTC", "ETH"))
RULES = PriceRules("usd", Thresholds(Decimal("0.05")), 900)


class Blind(MemoryPriceStore):
    """A store that stores and cannot be read."""

    def newest(self, *_asked: Any, **_named: Any) -> list[StoredPrice]:
        raise StoreUnavailable("the database does not answer")


def collected(
    store: MemoryPriceStore, source: FakePrices, *coins: Coin
) -> tuple[Collection, list[Event]]:
    """What one collection brought, and what it published."""
    published: list[Event] = []
    found = collect(source, store, coins, RULES, publish=published.append)
    return found, published


def test_a_price_that_is_stored_is_told_though_it_could_not_be_judged() -> None:
    store = Blind()
    with capture_logs() as lines:
        found, published = collected(store, FakePrices({"BTC": 6 * 10**12}), BTC)
    assert [price.symbol for price in found.stored] == ["BTC"]
    [event] = published
    assert isinstance(event, PriceCollected)
    assert event.anomalous is None
    [line] = lines
    assert (line["event"], line["log_level"]) == ("price_not_judged", "error")
    assert (line["symbol"], line["reason"]) == ("BTC", "the database does not answer")
    assert len(MemoryPriceStore.newest(store, "BTC", "usd", 9)) == 1


def test_a_jump_is_told_before_the_price_that_made_it() -> None:
    store, source = MemoryPriceStore(), FakePrices({"BTC": 6 * 10**12, "ETH": 10**11})
    _, published = collected(store, source, BTC, ETH)
    told = [event for event in published if isinstance(event, PriceCollected)]
    assert len(told) == len(published)
    assert [(type(event), event.anomalous) for event in told] == [
        (PriceCollected, False),
        (PriceCollected, False),
    ]
    source.said["BTC"] = 7 * 10**12
    _, published = collected(store, source, BTC, ETH)
    assert [type(event) for event in published] == [AnomalyDetected, PriceCollected, PriceCollected]
    marks = [event.anomalous for event in published if isinstance(event, PriceCollected)]
    assert marks == [True, False]


def test_a_refused_coin_is_told_and_nothing_of_it_is_stored() -> None:
    store = MemoryPriceStore()
    _, published = collected(store, FakePrices({"BTC": 1}), BTC, ETH)
    assert published[-1] == PriceRefused("ETH", "No price of ETH.")
    assert store.newest("ETH", "usd", 1) == []


def test_what_is_not_answered_is_neither_stored_nor_told() -> None:
    store = MemoryPriceStore()
    source = FakePrices(trouble=UpstreamUnavailable("away", host="source"))
    published: list[Event] = []
    with pytest.raises(UpstreamUnavailable):
        collect(source, store, [BTC], RULES, publish=published.append)
    assert published == []
    assert store.newest("BTC", "usd", 1) == []


@pytest.mark.parametrize(
    ("days", "ours", "left"),
    [
        (30, NOW, ["now"]),
        (30, NOW + 400 * DAY, ["ahead", "now"]),
        (30, NOW - 400 * DAY, ["now", "old"]),
        (0, NOW, ["ahead", "now", "old"]),
    ],
)
def test_retention_removes_what_is_too_old_or_in_the_future_by_both_clocks(
    days: int, ours: int, left: list[str]
) -> None:
    store = MemoryPriceStore()
    stamps = {"old": NOW - 31 * DAY, "ahead": NOW + 300 * DAY, "now": NOW - 5}
    for at in stamps.values():
        store.add([SpotPrice(BTC, 1, "usd", at)], at)
    prune(store, days, ours, Collection((), (), NOW))
    kept = {price.collected_at for price in store.newest("BTC", "usd", 9)}
    assert kept == {stamps[name] for name in left}


@pytest.mark.parametrize("off", [400 * DAY, -400 * DAY])
def test_retention_by_our_clock_alone_removes_no_price_of_today(off: int) -> None:
    store = MemoryPriceStore()
    store.add([SpotPrice(BTC, 1, "usd", NOW - 60)], NOW - 60)
    # The reply names no time, so our clock, which is off, stamps the collection.
    stored = store.add([SpotPrice(BTC, 2, "usd", NOW)], NOW + off)
    prune(store, 30, NOW + off, Collection(tuple(stored), (), NOW + off))
    assert NOW - 60 in {price.collected_at for price in store.newest("BTC", "usd", 9)}


@pytest.mark.parametrize(
    ("collected_at", "least_age", "age"),
    [
        (NOW - 1, 60, 1),
        (NOW, 60, 0),
        (NOW - 59, 60, 59),
        (NOW - 60, 60, None),
        (NOW + 1, 60, None),  # by a clock that is ahead: nobody knows how old it is
        (NOW + DAY, 60, None),
        (NOW, 0, None),
    ],
)
def test_a_price_is_collected_unless_one_is_stored_that_is_young_enough(
    collected_at: int, least_age: int, age: int | None
) -> None:
    store, source = MemoryPriceStore(), FakePrices({"BTC": 6 * 10**12})
    store.add([SpotPrice(BTC, 5 * 10**12, "brl", NOW)], NOW)  # in another currency
    store.add([SpotPrice(BTC, 5 * 10**12, "usd", NOW)], collected_at)
    price, told = collect_unless_recent(
        source, store, BTC, RULES, least_age=least_age, now=NOW, publish=lambda event: None
    )
    assert told == age
    assert price.id == (3 if age is None else 2)
    assert len(source.asked) == (age is None)
