"""What has changed since the last look, and since a position."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from app.core.errors import StoreUnavailable
from app.core.market import DAY, Interval, Series
from app.core.prices import Coin, SpotPrice, StoredPrice, Thresholds
from app.domain.fixed_point import as_decimal
from app.domain.revisions import SALT_BITS
from app.services.anomalies import PriceRules
from app.services.changes import OVERLAP_PRICES, Change, Changes, Position, Unusual
from app.services.coverage import Coverage, CoverageCounter
from app.services.latest import Latest
from app.testing.prices import MemoryPriceStore
from app.testing.series import MemorySeriesStore
from tests.support.api import BTC, ETH, LAST, NOW, load
from tests.support.candles import BTC_DAILY, ETH_DAILY

COIN = Coin("BTC", "bitcoin")
RULES = PriceRules("usd", Thresholds(as_decimal(5_000_000)), 900)


@dataclass
class Shop:
    """Stores, and who looks at them at a time that a test sets."""

    series: MemorySeriesStore = field(default_factory=MemorySeriesStore)
    prices: MemoryPriceStore = field(default_factory=MemoryPriceStore)
    now: float = NOW

    def changes(self) -> Changes:
        """Somebody who has not looked yet."""
        return Changes(
            self.series,
            self.prices,
            CoverageCounter(self.series, 365),
            served=[Series(pair, Interval.DAY) for pair in (BTC, ETH)],
            symbols=["BTC"],
            rules=RULES,
            history_days=365,
            clock=lambda: self.now,
        )

    def collect(self, dollars: int, coin: Coin = COIN, currency: str = "usd") -> StoredPrice:
        """Store a price of now."""
        price = SpotPrice(coin, dollars * 10**8, currency, int(self.now))
        return self.prices.add([price], int(self.now))[0]

    def check(self, series: Series, *, changed: bool = False) -> int:
        """End a load of the series now; returns the revision."""
        with self.series.begin(series) as unit:
            return unit.finish(changed=changed, now=self.now)


@pytest.fixture
def shop() -> Shop:
    """Stores with a year of both pairs, each loaded five minutes after its last close."""
    shop = Shop()
    for series in (BTC_DAILY, ETH_DAILY):
        load(shop.series, series)
    return shop


def named(changes: list[Change]) -> list[str]:
    """The kinds of changes, with whose they are."""
    whose = {Latest: "series", Coverage: "series", StoredPrice: "symbol", Unusual: "symbol"}
    return [
        f"{type(each).__name__} {getattr(getattr(each, whose[type(each)]), 'pair', '')}".strip()
        for each in changes
    ]


def test_a_look_tells_what_was_committed_since_the_one_before(shop: Shop) -> None:
    shop.collect(100)
    changes = shop.changes()
    assert changes.look() == []
    assert changes.look() == []
    shop.now += 1
    revision = shop.check(BTC_DAILY, changed=True)
    stored = shop.collect(101)
    told = changes.look()
    assert named(told) == ["StoredPrice", "Latest BRLBTC", "Coverage BRLBTC"]
    assert told[0] == stored
    assert changes.position == Position(revision, stored.id)
    assert changes.look() == []


def test_a_load_that_changed_nothing_is_told_as_a_check_alone(shop: Shop) -> None:
    changes = shop.changes()
    changes.look()
    shop.now += 1
    shop.check(ETH_DAILY)
    (status,) = changes.look()
    assert isinstance(status, Coverage)
    assert (status.series, status.checked_at) == (ETH_DAILY, NOW + 1)


def test_a_series_that_becomes_stale_is_told_though_nothing_was_committed(shop: Shop) -> None:
    changes = shop.changes()
    changes.look()
    changes.look()
    shop.now = LAST + 2 * DAY + 3_599
    assert not any(isinstance(each, Coverage) and each.stale for each in changes.look())
    shop.now += 2
    told = changes.look()
    assert named(told) == ["Coverage BRLBTC", "Coverage BRLETH"]
    assert all(isinstance(each, Coverage) and each.stale for each in told)
    assert changes.look() == []


def test_a_price_whose_id_was_given_before_and_committed_later_is_told(shop: Shop) -> None:
    changes = shop.changes()
    first = [shop.collect(100 + n) for n in range(3)]
    changes.look()
    stored = shop.prices._prices
    late = stored.pop(1)  # as if its transaction were still open
    fresh = shop.changes()
    fresh.look()
    stored.insert(1, late)
    assert fresh.look() == [late]
    assert changes.look() == []
    for n in range(OVERLAP_PRICES):
        shop.collect(200 + n % 2)
    assert first[0] not in changes.look()


def test_an_unusual_price_is_told_with_its_judgement(shop: Shop) -> None:
    shop.collect(100)
    changes = shop.changes()
    changes.look()
    shop.now += 60
    shop.collect(120)
    price, unusual = changes.look()
    assert isinstance(price, StoredPrice)
    assert isinstance(unusual, Unusual)
    assert (unusual.symbol, unusual.judgement.judgement.anomalous) == ("BTC", True)


def test_what_is_not_served_is_not_told(shop: Shop) -> None:
    changes = shop.changes()
    changes.look()
    shop.now += 1
    shop.collect(100, Coin("DOGE", "dogecoin"))
    shop.collect(100, currency="brl")
    shop.check(Series(BTC, Interval.HOUR), changed=True)
    assert changes.look() == []


def test_a_look_that_fails_loses_nothing(shop: Shop) -> None:
    changes = shop.changes()
    changes.look()
    shop.now += 1
    shop.check(BTC_DAILY, changed=True)
    stored = shop.collect(100)
    coverage = changes._coverage.coverage

    def away(series: Series, now: float) -> Coverage:
        raise StoreUnavailable("the database does not answer")

    changes._coverage.coverage = away  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        changes.look()
    changes._coverage.coverage = coverage  # type: ignore[method-assign]
    assert named(changes.look()) == ["StoredPrice", "Latest BRLBTC", "Coverage BRLBTC"]
    assert changes.position.price == stored.id


def test_since_a_position_there_is_what_came_after_it_and_ten_seconds_before(shop: Shop) -> None:
    old = shop.collect(100)
    revision = shop.check(BTC_DAILY, changed=True)
    shop.now += 11
    told = Position(shop.check(ETH_DAILY, changed=True), old.id)
    shop.now += 1
    new = shop.collect(101)
    changes = shop.changes()
    changes.look()
    since = changes.since(told)
    assert named(since) == ["Latest BRLETH", "Coverage BRLETH", "StoredPrice"]
    assert since[-1] == new
    since = changes.since(Position(told.revision - (1_000 << SALT_BITS), new.id))
    assert named(since)[0] == "Latest BRLBTC"
    assert revision < told.revision


@pytest.mark.parametrize(
    "position", [None, Position(2**62, 0), Position(0, 1_000)], ids=["unknown", "newer", "prices"]
)
def test_since_a_position_of_another_database_there_is_everything(
    shop: Shop, position: Position | None
) -> None:
    stored = shop.collect(100)
    changes = shop.changes()
    changes.look()
    since = changes.since(position)
    pairs = ["BRLBTC", "BRLETH"]
    assert sorted(named(since)) == sorted(
        [f"{kind} {pair}" for kind in ("Coverage", "Latest") for pair in pairs] + ["StoredPrice"]
    )
    assert since[-1] == stored


def test_a_position_is_read_as_it_was_written() -> None:
    assert Position.parse(str(Position(1_869_123_456_789_012_345, 17))) == (
        1_869_123_456_789_012_345,
        17,
    )
    for text in ("", "1", "1-", "a-b", "1-2-3", "-1-2", "1-2\n", "٣-1", "9" * 20 + "-1"):
        assert Position.parse(text) is None
