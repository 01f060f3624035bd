"""One contract for every store of spot prices."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from sqlalchemy import text

from app.core.market import Exact
from app.core.prices import Coin, SpotPrice, StoredPrice
from app.db import schema
from app.db.database import open_engine
from app.db.session import transaction
from app.db.stores import prices
from app.db.stores.prices import SqlPriceStore
from app.domain.fixed_point import as_decimal, kept
from app.testing.prices import MemoryPriceStore
from tests.support.statements import statements

BTC, ETH = Coin("BTC", "bitcoin"), Coin("ETH", "ethereum")
ALONE = {"store": ["memory", "sqlite"]}
SERVICES = {"store": ["postgres"]}

AT = 1_711_356_300
Store = MemoryPriceStore | SqlPriceStore


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemoryPriceStore()
        return
    engine = open_engine(request.getfixturevalue(f"{request.param}_url"))
    schema.migrate(engine)
    yield SqlPriceStore(engine)
    engine.dispose()


def price(coin: Coin, value: Exact, at: int = AT, currency: str = "usd") -> SpotPrice:
    """A price as a source says it."""
    return SpotPrice(coin, value, currency, at)


def test_nothing_collected_is_nothing_to_read(store: Store) -> None:
    assert store.newest("BTC", "usd", 100) == []
    assert store.prune(AT, AT) == 0
    assert store.add([], AT) == []


def test_what_arrived_after_an_id_is_read_in_order_and_the_newest_of_it(store: Store) -> None:
    assert store.arrived(0, 10) == (0, [])
    first = store.add([price(BTC, 1), price(ETH, 2)], AT)
    later = store.add([price(BTC, 3, currency="brl")], AT + 60)
    highest = later[0].id
    assert store.arrived(0, 10) == (highest, [*first, *later])
    assert store.arrived(first[0].id, 10) == (highest, [first[1], *later])
    assert store.arrived(0, 1) == (highest, later)
    assert store.arrived(highest, 10) == (highest, [])


def test_what_is_stored_is_what_is_read_with_growing_ids(store: Store) -> None:
    stored = store.add([price(BTC, 2**63 - 1), price(ETH, 1)], AT + 30)
    later = store.add([price(BTC, 5, AT + 60)], AT + 90)
    assert stored[0] == StoredPrice(stored[0].id, "BTC", 2**63 - 1, "usd", AT, AT + 30)
    assert [p.id for p in [*stored, *later]] == sorted({p.id for p in [*stored, *later]})
    assert store.newest("BTC", "usd", 100) == [later[0], stored[0]]
    assert store.newest("ETH", "usd", 100) == [stored[1]]


@pytest.mark.parametrize(
    "written",
    ["1e-20", "1234567890123456.7", "1.4e-8", "9" * 40 + "." + "9" * 40, "1e-40", "67187.33"],
)
def test_a_price_of_any_size_is_read_as_it_was_stored(store: Store, written: str) -> None:
    [stored] = store.add([price(BTC, kept(written))], AT)
    assert store.newest("BTC", "usd", 1) == [stored]
    assert stored.price == kept(written)
    assert as_decimal(stored.price) == Decimal(written)


def test_newest_first_is_by_arrival_whatever_the_clock_said(store: Store) -> None:
    ahead = store.add([price(BTC, 1)], AT + 10_800)
    right = store.add([price(BTC, 2)], AT + 50)
    assert store.newest("BTC", "usd", 10) == [*right, *ahead]
    assert store.newest("BTC", "usd", 1) == right


def test_a_period_includes_both_ends(store: Store) -> None:
    for second in range(10):
        store.add([price(BTC, second + 1)], AT + second)
    found = store.newest("BTC", "usd", 100, AT + 3, AT + 5)
    assert [p.collected_at - AT for p in found] == [5, 4, 3]
    assert [p.collected_at - AT for p in store.newest("BTC", "usd", 2, None, AT + 5)] == [5, 4]
    assert [p.collected_at - AT for p in store.newest("BTC", "usd", 100, AT + 8)] == [9, 8]


def test_pruning_removes_exactly_what_is_older(store: Store) -> None:
    store.add([price(BTC, 1), price(ETH, 2)], AT)
    store.add([price(BTC, 3), price(BTC, 4, currency="brl")], AT + 9)
    store.add([price(BTC, 7)], AT + 10)
    assert [p.price for p in store.newest("BTC", "brl", 9)] == [4]
    assert store.prune(AT + 10, AT + 10) == 4
    assert [p.price for p in store.newest("BTC", "usd", 10)] == [7]
    assert store.newest("ETH", "usd", 10) == []
    assert store.prune(AT + 10, AT + 10) == 0


def test_pruning_removes_what_is_stamped_in_the_future(store: Store) -> None:
    store.add([price(BTC, 1)], AT + 31_536_000)
    store.add([price(BTC, 2)], AT + 10)
    store.add([price(BTC, 3)], AT + 11)
    assert store.prune(AT, AT + 10) == 2
    assert [p.price for p in store.newest("BTC", "usd", 10)] == [2]


def test_pruning_takes_as_many_batches_as_there_are(db_url: str) -> None:
    engine = open_engine(db_url)
    schema.migrate(engine)
    count = 2 * prices.PRUNE_BATCH + 7
    with transaction(engine) as connection:
        connection.execute(
            text(
                f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= {count}) "
                "INSERT INTO prices (symbol, currency, price, priced_at, collected_at) "
                f"SELECT 'BTC', 'usd', i, {AT}, {AT} + i / {count + 1} FROM n"
            )
        )
    store = SqlPriceStore(engine)
    with statements(engine) as sent:
        assert store.prune(AT + 1, AT + 1) == count
    assert sum(statement.startswith("DELETE") for statement in sent) == 3 + 1
    assert [p.price for p in store.newest("BTC", "usd", 10)] == [count + 1]
    engine.dispose()


def test_reading_the_newest_walks_the_index_and_sorts_nothing(db_url: str) -> None:
    engine = open_engine(db_url)
    schema.migrate(engine)
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with transaction(engine) as connection:
        if engine.dialect.name != "sqlite":
            # Over a table this small a scan would be right; what is asked is whether the index can.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        plan = connection.execute(
            text(
                f"{explain} SELECT id, price FROM prices WHERE symbol = 'BTC' AND currency = 'usd' "
                "ORDER BY id DESC LIMIT 100"
            )
        ).all()
    shown = str(plan)
    assert "ix_prices_newest" in shown
    assert "sort" not in shown.lower()
    assert "temp b-tree" not in shown.lower()
    engine.dispose()
