"""Rows for every table there is, and what tests of backups ask about a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, text

from app.core.prices import Coin, SpotPrice
from app.db.backup.content import columns_of, data_tables, read
from app.db.session import SQLITE, snapshot, transaction
from app.db.stores.prices import SqlPriceStore
from app.db.stores.statements import insert
from tests.support.candles import daily, day

NOW = 1_792_843_200.5
BIG = 2**63 - 1
REVISION = 1_879_892_243_251_200_123
DAYS = range(1, 41)
HIGHEST_ID = 17

BTC = {"pair": "BTC-BRL", "interval": "1d"}
ETH = {"pair": "ETH-BRL", "interval": "1h"}
PRICES = ("open", "high", "low", "close", "volume")

ROWS: dict[str, list[dict[str, Any]]] = {
    "series": [
        {**BTC, "revision": REVISION, "checked_at": None},
        {**ETH, "revision": 7, "checked_at": 5},
    ],
    "candles": [
        {
            **BTC,
            "bucket": candle.bucket,
            "open": candle.open,
            "high": candle.high,
            "low": candle.low,
            "close": candle.close,
            "volume": BIG,
        }
        for candle in daily(DAYS)
    ],
    "averages": [
        {
            **BTC,
            "bucket": day(number),
            "mms_20": number if number >= 20 else None,
            "mms_50": None,
            "mms_200": None,
        }
        for number in DAYS
    ],
    "absences": [{**ETH, "bucket": day(1), "first_asked_at": 1, "last_asked_at": 2}],
    "prices": [
        {
            "id": number,
            "symbol": "BTC",
            "currency": "usd",
            "price": number,
            "priced_at": 1,
            "collected_at": number,
        }
        for number in (3, HIGHEST_ID)
    ],
    # Sorted by code point, where a language would sort otherwise; and what a file could trip over.
    "quarantine": [
        {**BTC, "bucket": 0, "reason": reason, "first_seen_at": 1, "last_seen_at": 2}
        for reason in ("b", "A", "a b", "a-b", "ab", "Ä ',\"\n\t\\[{", "é", "\U0001f4c8", "")
    ],
    "candle_revisions": [
        {
            **BTC,
            "bucket": day(2),
            "revision": REVISION,
            "noticed_at": 9,
            **{f"{when}_{name}": 5 for when in ("old", "new") for name in PRICES},
        }
    ],
}


def fill(engine: Engine) -> None:
    """Put the rows into every table there is, and number the prices that follow."""
    with transaction(engine) as connection:
        tables = data_tables(connection)
        for table in tables:
            rows = ROWS[table.name]
            insert(connection, table.name, list(rows[0]), [tuple(row.values()) for row in rows])
        if engine.dialect.name != SQLITE and "prices" in {table.name for table in tables}:
            sequence = "pg_get_serial_sequence('prices', 'id')"
            connection.execute(text(f"SELECT setval({sequence}, {HIGHEST_ID})"))


def rows_of(engine: Engine) -> dict[str, list[bytes]]:
    """The rows of each table, as a backup has them."""
    with snapshot(engine) as connection:
        return {table.name: list(read(connection, table)) for table in data_tables(connection)}


def cells(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table by column."""
    with snapshot(engine) as connection:
        return {
            table.name: [
                dict(zip(columns_of(table), json.loads(line), strict=True))
                for line in read(connection, table)
            ]
            for table in data_tables(connection)
        }


def assert_kept(before: dict[str, list[dict[str, Any]]], engine: Engine) -> None:
    """Assert that the rows are still there; columns that a newer schema adds are empty in them."""
    after = cells(engine)
    for name, rows in before.items():
        added = dict.fromkeys(after[name][0].keys() - rows[0].keys())
        assert after[name] == [row | added for row in rows]


@contextmanager
def unchanged(engine: Engine) -> Iterator[None]:
    """Assert that the block leaves the database as it was."""
    before = rows_of(engine)
    yield
    assert rows_of(engine) == before


def next_id(engine: Engine) -> int:
    """Collect a price; returns its number."""
    price = SpotPrice(Coin("ETH", "ethereum"), 5, "usd", 1)
    return SqlPriceStore(engine).add([price], 99)[0].id


def execute(engine: Engine, statement: str) -> int:
    """Change something past all code of ours; returns how many rows."""
    with transaction(engine) as connection:
        return connection.execute(text(statement)).rowcount
