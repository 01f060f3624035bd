"""Databases of older versions keep their rows, and stay while a row breaks a new rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from app.core.errors import StoreUnavailable, StoreUnusable
from app.core.market import MAX_PRICE
from app.db import schema
from app.db.database import open_engine
from app.db.models import METADATA
from app.db.session import SQLITE, transaction
from app.db.sqlite import write_ahead
from app.db.stores.series import SqlSeriesStore
from tests.support.backups import (
    DAYS,
    HIGHEST_ID,
    ROWS,
    assert_kept,
    cells,
    execute,
    fill,
    next_id,
    unchanged,
)
from tests.support.candles import BTC_DAILY, daily, day
from tests.support.postgres import Postgres

OLDER = [f"{number:04}" for number in range(1, int(schema.HEAD[:4]))]


@pytest.fixture
def engine(db_url: str) -> Iterator[Engine]:
    """An empty database of each kind."""
    made = open_engine(db_url)
    yield made
    made.dispose()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    """A filled SQLite database without the newest checks."""
    made = open_engine(f"sqlite:///{tmp_path / 'old.db'}")
    filled(made, "0005")
    yield made
    made.dispose()


def filled(engine: Engine, version: str) -> None:
    """Build the tables of that version, as it did, and fill each."""
    write_ahead(engine)
    with transaction(engine) as connection:
        schema.upgrade(connection, version)
    fill(engine)


@pytest.mark.parametrize("version", OLDER)
def test_a_database_of_any_older_version_keeps_every_row(engine: Engine, version: str) -> None:
    filled(engine, version)
    before = cells(engine)
    assert {name: len(rows) for name, rows in before.items()} == {n: len(ROWS[n]) for n in before}
    if "prices" in before:
        execute(engine, f"DELETE FROM prices WHERE id = {HIGHEST_ID}")
        del before["prices"][-1]
    assert schema.migrate(engine) is True
    schema.require(engine)
    assert_kept(before, engine)
    if "prices" in before:
        assert next_id(engine) == HIGHEST_ID + 1
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), METADATA)
        assert found == []
    store = SqlSeriesStore(engine)
    with store.begin(BTC_DAILY) as unit:
        unit.put_candles(daily([*DAYS, 41], seed=2))
        unit.finish(changed=True, now=day(60))
    assert [candle for candle, _ in store.rows(BTC_DAILY, 0, day(99))[1]] == daily(
        [*DAYS, 41], seed=2
    )


_WRONG = (
    (f"UPDATE candles SET high = {MAX_PRICE + 1} WHERE bucket IN ({day(3)}, {day(4)})", 2),
    (
        f"INSERT INTO candles SELECT pair, interval, bucket * 1000, open, high, low, close, volume "
        f"FROM candles WHERE bucket = {day(7)}",
        1,
    ),
    (
        "INSERT INTO averages SELECT pair, interval, bucket * 1000, 5, 5, 5 "
        f"FROM candles WHERE bucket = {day(7)}",
        1,
    ),
    (f"UPDATE averages SET mms_20 = {MAX_PRICE + 1} WHERE bucket IN ({day(5)}, {day(37)})", 2),
)
_WRONG_ON_SQLITE = (
    (f"UPDATE candles SET volume = 0.5 WHERE bucket = {day(9)}", 1),
    (f"UPDATE candles SET close = open + 0.5 WHERE bucket = {day(10)}", 1),
    (f"UPDATE averages SET mms_50 = 'soon' WHERE bucket = {day(11)}", 1),
)


def test_rows_that_break_a_new_rule_are_named_and_nothing_changes_until_they_are_gone(
    engine: Engine,
) -> None:
    filled(engine, "0005")
    wrong = [*_WRONG, *(_WRONG_ON_SQLITE if engine.dialect.name == SQLITE else ())]
    for statement, count in wrong:
        assert execute(engine, statement) == count
    with unchanged(engine), pytest.raises(StoreUnusable, match="python -m app migrate") as refused:
        schema.migrate(engine)
    assert schema.version(engine) == "0005"
    said = str(refused.value)
    assert f"2 of candles WHERE NOT (high <= {MAX_PRICE}), the first is BTC-BRL 1d {day(3)}" in said
    assert (
        f"1 of candles WHERE NOT (bucket < 100000000000), the first is BTC-BRL 1d {day(7)}000"
        in said
    )
    # What it says is what finds them: the averages first, candles are what they refer to.
    found = re.findall(r"\d+ of (candles|averages) WHERE (NOT .*?), the first is", said)
    for table, rule in found:
        buckets = f"SELECT bucket FROM {table} WHERE {rule}"
        execute(engine, f"DELETE FROM averages WHERE bucket IN ({buckets})")
    for rule in (rule for table, rule in found if table == "candles"):
        execute(engine, f"DELETE FROM candles WHERE {rule}")
    assert schema.migrate(engine) is True


def test_postgres_is_not_held_up_for_a_migration_that_cannot_begin(
    postgres_server: Postgres,
) -> None:
    url = postgres_server.create()
    busy, impatient = open_engine(url), open_engine(f"{url}?options=-clock_timeout%3D200")
    filled(busy, "0005")
    with busy.connect() as reader:
        reader.execute(text("SELECT 1 FROM candles"))
        with pytest.raises(StoreUnavailable, match="in use"):
            schema.migrate(impatient)
    assert schema.version(busy) == "0005"
    assert schema.migrate(impatient) is True
    busy.dispose()
    impatient.dispose()
    postgres_server.drop(url)
