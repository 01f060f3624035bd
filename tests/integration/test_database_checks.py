"""Which candles and averages the databases themselves refuse, past all code of ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from app.core.market import FIRST_FINER_STAMP, MAX_PRICE, OLDEST_BUCKET, Interval
from app.db import schema
from app.db.database import open_engine
from app.db.session import SQLITE, transaction
from tests.support.candles import day

GOOD = {
    "pair": "BTC-BRL",
    "interval": "1d",
    "bucket": day(1),
    "open": 10,
    "high": 12,
    "low": 9,
    "close": 11,
    "volume": 0,
}


@pytest.fixture
def engine(db_url: str) -> Iterator[Engine]:
    """A migrated database of each kind."""
    made = open_engine(db_url)
    schema.migrate(made)
    yield made
    made.dispose()


@contextmanager
def undone(engine: Engine) -> Iterator[Connection]:
    """A connection whose changes are undone at the end."""
    with engine.connect() as connection:
        if engine.dialect.name == SQLITE:
            connection.execute(text("BEGIN"))
        yield connection
        connection.rollback()


def insert(connection: Connection, **changes: object) -> None:
    """Insert a candle directly, past all code of ours but the connection."""
    row = GOOD | changes
    columns = ", ".join(row)
    marks = ", ".join(f":{name}" for name in row)
    connection.execute(
        text("INSERT INTO series (pair, interval, revision) VALUES ('BTC-BRL', :interval, 0)"),
        {"interval": changes.get("interval", "1d")},
    )
    connection.execute(text(f"INSERT INTO candles ({columns}) VALUES ({marks})"), row)


def price(
    connection: Connection, number: int, value: int | None, as_text: str | None = None
) -> None:
    """Insert a spot price directly."""
    connection.execute(
        text(
            "INSERT INTO prices (id, symbol, currency, price, price_text, priced_at, collected_at) "
            "VALUES (:id, 'BTC', 'usd', :price, :text, 1, 1)"
        ),
        {"id": number, "price": value, "text": as_text},
    )


def test_the_database_refuses_a_candle_that_cannot_be(engine: Engine) -> None:
    cases: list[dict[str, object]] = [
        {"low": 0, "open": 1},
        {"low": -1},
        {"high": 10},
        {"low": 12, "high": 12},
        {"volume": -1},
        {"open": 13},
        {"close": 8},
        {"bucket": day(1) * 1000},
        {"bucket": FIRST_FINER_STAMP // 86_400 * 86_400 + 86_400},
        {"high": MAX_PRICE + 1},
        {"bucket": 1_293_840_000 - 86_400},
        {"interval": "1w"},
        {"close": None},
        {"volume": 5, "volume_text": "0.00000005"},
        {"volume": None, "volume_text": "-0.00000005"},
    ]
    cases += [{"interval": i.value, "bucket": day(1) + i.seconds + 1} for i in Interval]
    for changes in cases:
        with undone(engine) as connection, pytest.raises(IntegrityError):
            insert(connection, **changes)
    with undone(engine) as connection, pytest.raises(IntegrityError, match="ck_prices_positive"):
        price(connection, 1, 0)
    for value, as_text in [(None, None), (5, "0.000000052"), (None, "-0.000000052")]:
        with undone(engine) as connection, pytest.raises(IntegrityError, match="price"):
            price(connection, 1, value, as_text)


ODD = ("soon", "", "1.5", 1.5, -0.5, b"11", "9" * 30, 9.3e18, float("inf"), -(2.0**63))
"""What SQLite would keep in a column of whole numbers: it only prefers a kind."""


def test_only_whole_numbers_are_kept_on_sqlite(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    schema.migrate(engine)
    averages = {**GOOD, "mms_20": 5, "mms_50": None, "mms_200": None}
    with engine.connect() as connection:
        insert(connection)
        for table, columns in (
            ("candles", [*GOOD][2:]),
            ("averages", ["bucket", "mms_20", "mms_50", "mms_200"]),
        ):
            names = [*GOOD] if table == "candles" else ["pair", "interval", *columns]
            marks = ", ".join(f":{name}" for name in names)
            for column, value in itertools.product(columns, ODD):
                row = {name: averages[name] for name in names} | {column: value}
                with pytest.raises(IntegrityError, match="CHECK constraint failed"):
                    connection.execute(
                        text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"), row
                    )
    engine.dispose()


def test_the_database_refuses_averages_that_cannot_be(engine: Engine) -> None:
    good: dict[str, object] = {"interval": "1d", "bucket": day(1)}
    good |= {"mms_20": MAX_PRICE, "mms_50": 1, "mms_200": None}
    statement = text(
        "INSERT INTO averages (pair, interval, bucket, mms_20, mms_50, mms_200) "
        "VALUES ('BTC-BRL', :interval, :bucket, :mms_20, :mms_50, :mms_200)"
    )
    cases: list[dict[str, object]] = [
        {"mms_20": 0},
        {"mms_50": -1},
        {"mms_200": MAX_PRICE + 1},
        {"bucket": day(1) + 1},
        {"bucket": day(1) * 1000},
        {"bucket": OLDEST_BUCKET - 86_400},
        {"interval": "1w"},
    ]
    for changes in cases:
        with undone(engine) as connection:
            insert(connection)
            with pytest.raises(IntegrityError, match="ck_averages_"):
                connection.execute(statement, good | changes)
    with undone(engine) as connection:
        insert(connection)
        connection.execute(statement, good)


def test_averages_need_their_candle_and_candles_their_series(engine: Engine) -> None:
    for table, columns in (("averages", "mms_20"), ("candles", "open")):
        with pytest.raises(IntegrityError), transaction(engine) as connection:
            connection.execute(
                text(
                    f"INSERT INTO {table} (pair, interval, bucket, {columns}) "
                    f"VALUES ('BTC-BRL', '1d', {day(1)}, 5)"
                )
            )
