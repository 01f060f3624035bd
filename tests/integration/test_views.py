"""The views for people's SQL: each cell is what the stores and the API say of it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from app.core.market import MAX_PRICE, WINDOWS, Candle, Exact, Interval, Pair, Series
from app.core.prices import Coin, SpotPrice
from app.db import schema
from app.db.backup.content import back_up, restore
from app.db.database import open_engine
from app.db.models import VIEWS
from app.db.session import SQLITE, transaction
from app.db.sqlite import write_ahead
from app.db.stores.prices import SqlPriceStore
from app.db.stores.series import SqlSeriesStore
from app.domain.fixed_point import SCALE, as_decimal, kept
from app.domain.times import LATEST, iso
from tests.support.backups import fill
from tests.support.candles import BTC_DAILY, FakeExchange, day
from tests.support.documents import blocks
from tests.support.loads import initial
from tests.support.postgres import Postgres
from tests.support.processes import ROOT

BEFORE = "0008_from_0007"
DAYS = 260
HYPHENATED = Series(Pair("X-Y'%", "USDT"), Interval.DAY)
SERIES = (BTC_DAILY, HYPHENATED)
LEGACY = {BTC_DAILY: "BRLBTC", HYPHENATED: "USDTX-Y'%"}
ODD = ("0.00000000000000000012345", "1234567890123456789.000000000000001", "0.1234567891")
"""Numbers that are decimal text in the tables."""


@pytest.fixture
def engine(db_url: str) -> Iterator[Engine]:
    """A database of each kind that the version before the views had made, migrated."""
    made = open_engine(db_url)
    write_ahead(made)
    with transaction(made) as connection:
        schema.upgrade(connection, BEFORE)
    assert schema.migrate(made) is True
    yield made
    made.dispose()


def random_candles(seed: int) -> list[Candle]:
    """Candles with prices of every magnitude, and volumes of every kind, but for one missing."""
    chance = random.Random(seed)

    def one(number: int) -> Candle:
        highest = chance.randint(4, min(MAX_PRICE, 10 ** chance.randint(1, 17)))
        low = chance.randint(1, highest)
        first, last = (chance.randint(low, highest) for _ in range(2))
        volume = chance.choice([None, chance.randrange(2**63), *map(kept, ODD)])
        return Candle(day(number), first, highest, low, last, volume)

    return [one(number) for number in range(DAYS) if number != 30]


def load(engine: Engine) -> SqlSeriesStore:
    """Load both series as the loader does."""
    store = SqlSeriesStore(engine)
    for seed, series in enumerate(SERIES):
        exchange = FakeExchange.of(random_candles(seed), day(DAYS))
        initial(store, exchange, lambda: day(DAYS), history_days=DAYS, series=series)
    return store


def rows(engine: Engine, query: str, **values: object) -> list[Mapping[str, Any]]:
    """What a query answers, by column."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(query), values).mappings()]


def shown(word: str) -> list[str]:
    """The statements of the page on SQL that have this word."""
    listed = [block.text for block in blocks(ROOT / "docs" / "sql.md") if block.kind == "sql"]
    return [statement for statement in listed if word in statement]


def is_price(cell: Any, price: int | None) -> bool:
    """Whether a cell is this number of 1e-8, as exactly as the database can say it."""
    if price is None or isinstance(cell, Decimal):
        return cell is price or (as_decimal(price or 0), -8) == (cell, cell.as_tuple().exponent)
    exact = as_decimal(price)
    if price <= 2**53:
        assert cell == float(exact)
    if price < 2**26 * SCALE:
        assert Decimal(f"{cell:.8f}") == exact
    return isinstance(cell, float) and abs(cell - float(exact)) <= math.ulp(cell)


def is_exact(cell: Any, value: Exact | None) -> bool:
    """Whether a cell is this number: exactly, or to the 15 digits that SQLite promises."""
    if value is None or isinstance(cell, Decimal):
        return cell is value or as_decimal(value or 0) == cell
    return isinstance(cell, float) and math.isclose(cell, as_decimal(value), rel_tol=1e-15)


def is_time(cell: Any, at: int) -> bool:
    """Whether a cell is this unix time, in the database's own kind of time."""
    return bool(cell == (iso(at) if isinstance(cell, str) else datetime.fromtimestamp(at, UTC)))


def test_every_cell_of_candles_and_averages_is_what_the_store_says(engine: Engine) -> None:
    store = load(engine)
    for series in SERIES:
        listed = store.rows(series, 0, day(DAYS))[1]
        assert len(listed) == DAYS - 1
        query = "SELECT * FROM {} WHERE symbol = :symbol AND interval = '1d' ORDER BY timestamp"
        candles, averages = (
            rows(engine, query.format(view), symbol=series.pair.symbol) for view in VIEWS[:2]
        )
        for (candle, average), cells, means in zip(listed, candles, averages, strict=True):
            for view in (cells, means):
                assert (view["pair"], view["timestamp"]) == (LEGACY[series], candle.bucket)
                assert is_time(view["bucket"], candle.bucket)
            for name in ("open", "high", "low", "close"):
                assert is_price(cells[name], getattr(candle, name)), (name, cells, candle)
            assert is_exact(cells["volume"], candle.volume), (cells, candle)
            for window, mean in zip(WINDOWS, average.values, strict=True):
                assert is_price(means[f"mms_{window}"], mean), (means, average)
        assert {type(means["mms_200"]) for means in averages} > {type(None)}


def test_every_cell_of_prices_is_what_the_store_says(engine: Engine) -> None:
    store = SqlPriceStore(engine)
    numbers = [*map(kept, ODD), 1, 2**63 - 1, 6718733000000]
    coin = Coin.parse("ETH")
    store.add([SpotPrice(coin, n, "usd", day(at)) for at, n in enumerate(numbers)], day(9))
    with transaction(engine) as connection:  # another program's, and no date can name its time
        insert = "INSERT INTO prices (symbol, currency, price, priced_at, collected_at) VALUES "
        connection.execute(
            text(f"{insert} ('ETH', 'usd', 5, {LATEST + 1}, 1), ('ETH', 'usd', 5, 1, -1)")
        )
    listed = store.newest("ETH", "usd", 99)
    cells = rows(engine, "SELECT * FROM v_prices ORDER BY id DESC")
    assert len(listed) == len(numbers)
    for price, cell in zip(listed, cells, strict=True):
        assert (price.id, "ETH", "usd") == (cell["id"], cell["symbol"], cell["currency"])
        assert is_exact(cell["price"], price.price), (cell, price)
        assert is_time(cell["priced_at"], price.priced_at)
        assert is_time(cell["collected_at"], price.collected_at)


def test_the_joins_of_the_page_answer_on_both_databases(engine: Engine) -> None:
    load(engine)
    plain, grafana = shown("JOIN v_averages")
    period = f"timestamp >= {day(210)} AND timestamp <= {day(219)}"
    charted = rows(engine, grafana.replace("$__unixEpochFilter(timestamp)", period))
    assert [row["mms_200"] is None for row in charted] == [True] * 10
    assert len(rows(engine, plain.replace("1790812800", str(day(210))))) == DAYS - 210


@pytest.mark.parametrize("view", VIEWS[:2])
def test_a_range_of_one_series_is_read_by_the_primary_key_alone(engine: Engine, view: str) -> None:
    query = (
        f"SELECT bucket FROM {view} WHERE symbol = 'BTC-BRL' AND interval = '1d' "
        f"AND timestamp >= {day(5)} ORDER BY timestamp"
    )
    kind = "EXPLAIN QUERY PLAN" if engine.dialect.name == SQLITE else "EXPLAIN"
    with transaction(engine) as connection:
        if engine.dialect.name != SQLITE:  # which prefers to read a small table whole
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        plan = " ".join(map(str, connection.execute(text(f"{kind} {query}"))))
    assert "Sort" not in plan
    assert "USING PRIMARY KEY (pair=? AND interval=? AND bucket>?)" in plan or (
        "Index" in plan and f"bucket >= {day(5)}" in plan and "Filter" not in plan
    )


def test_a_restored_database_has_the_views_whatever_version_its_backup_is_of(
    engine: Engine, tmp_path: Path
) -> None:
    older = open_engine(f"sqlite:///{tmp_path / 'older.db'}")
    write_ahead(older)
    with transaction(older) as connection:
        schema.upgrade(connection, BEFORE)
    fill(older)
    back_up(older, tmp_path / "older.mmsb", lambda: day(1))
    older.dispose()
    restore(engine, tmp_path / "older.mmsb", replace=False)
    restore(engine, tmp_path / "older.mmsb", replace=True)
    for view in VIEWS:
        counts = [rows(engine, f"SELECT count(*) AS n FROM {name}") for name in (view, view[2:])]
        assert counts[0] == counts[1] != [{"n": 0}]


@pytest.fixture
def reader(postgres_server: Postgres) -> Iterator[Engine]:
    """A filled PostgreSQL, opened by the role that the page on SQL creates."""
    url = postgres_server.create()
    owner = open_engine(url)
    schema.migrate(owner)
    load(owner)
    (statements,) = shown("CREATE ROLE")
    with transaction(owner) as connection:
        connection.execute(text(statements))
    made = open_engine(url.replace("mms@", "mms_reader@"))
    yield made
    made.dispose()
    owner.dispose()
    postgres_server.drop(url)
    postgres_server.sql("DROP ROLE mms_reader")


def test_the_role_of_the_page_reads_the_views_and_nothing_else(reader: Engine) -> None:
    assert rows(reader, "SELECT count(*) AS n FROM v_candles") == [{"n": 2 * (DAYS - 1)}]
    for view in VIEWS:
        rows(reader, f"SELECT * FROM {view}")
    for refused in (
        *(f"SELECT 1 FROM {table}" for table in ("candles", "averages", "prices", "series")),
        "DELETE FROM v_candles",
        "UPDATE v_prices SET symbol = 'X'",
        "CREATE TABLE mine (a int)",
    ):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            reader.begin() as connection,
        ):
            connection.execute(text(refused))
