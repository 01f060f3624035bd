"""Spot prices in SQL: every collected price is kept, and reads are newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select

from app.core.prices import SpotPrice, StoredPrice
from app.db.models import SPOT_PRICES
from app.db.session import for_reading, reading, transaction
from app.db.stores import exact
from app.db.stores.statements import are_times

PRUNE_BATCH: Final = 5_000
"""Rows per transaction of a prune, so that it never delays a collection for long."""

_COLUMNS: Final = (
    SPOT_PRICES.c.id,
    SPOT_PRICES.c.symbol,
    SPOT_PRICES.c.price,
    SPOT_PRICES.c.price_text,
    SPOT_PRICES.c.currency,
    SPOT_PRICES.c.priced_at,
    SPOT_PRICES.c.collected_at,
)


def _stored(
    number: int,
    symbol: str,
    whole: int | None,
    decimal: str | None,
    currency: str,
    priced_at: int,
    collected_at: int,
) -> StoredPrice:
    """The price of a row of _COLUMNS."""
    price = exact.value(whole, decimal)
    if price is None:
        raise ValueError(f"Price {number} has no value, which the schema forbids.")
    return StoredPrice(number, symbol, price, currency, priced_at, collected_at)


class SqlPriceStore:
    """A PriceStore over SQLite or PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = for_reading(engine)

    def add(self, prices: Sequence[SpotPrice], collected_at: int) -> list[StoredPrice]:
        """Store prices collected at one unix time, all or none; returns them with their ids."""
        with transaction(self._engine) as connection:
            return [self._add(connection, price, collected_at) for price in prices]

    def _add(self, connection: Connection, price: SpotPrice, collected_at: int) -> StoredPrice:
        whole, decimal = exact.columns(price.price)
        row = {
            "symbol": price.coin.symbol,
            "currency": price.currency,
            "price": whole,
            "price_text": decimal,
            "priced_at": price.priced_at,
            "collected_at": collected_at,
        }
        query = insert(SPOT_PRICES).values(row).returning(*_COLUMNS)
        return _stored(*connection.execute(query).one())

    def newest(
        self,
        symbol: str,
        currency: str,
        limit: int,
        first: int | None = None,
        last: int | None = None,
    ) -> list[StoredPrice]:
        """The newest prices by arrival, the id. [first, last] limits their collection time.

        A row with a time that no date can name is left out.
        """
        query = (
            select(*_COLUMNS)
            .where(
                SPOT_PRICES.c.symbol == symbol,
                SPOT_PRICES.c.currency == currency,
                *are_times(SPOT_PRICES.c.priced_at, SPOT_PRICES.c.collected_at),
            )
            .order_by(SPOT_PRICES.c.id.desc())
            .limit(limit)
        )
        if first is not None:
            query = query.where(SPOT_PRICES.c.collected_at >= first)
        if last is not None:
            query = query.where(SPOT_PRICES.c.collected_at <= last)
        with reading(self._reads) as connection:
            return [_stored(*row) for row in connection.execute(query)]

    def arrived(self, after: int, limit: int) -> tuple[int, list[StoredPrice]]:
        """The highest id, and the newest `limit` prices with an id above `after`, ascending.

        A row with a time that no date can name is left out.
        """
        query = (
            select(*_COLUMNS)
            .where(
                SPOT_PRICES.c.id > after,
                *are_times(SPOT_PRICES.c.priced_at, SPOT_PRICES.c.collected_at),
            )
            .order_by(SPOT_PRICES.c.id.desc())
            .limit(limit)
        )
        with reading(self._reads) as connection:
            highest = connection.scalar(select(func.max(SPOT_PRICES.c.id))) or 0
            prices = [_stored(*row) for row in connection.execute(query)]
        return highest, prices[::-1]

    def prune(self, before: int, after: int) -> int:
        """Remove prices collected before or after these times, in batches; returns how many."""
        at = SPOT_PRICES.c.collected_at
        return self._remove(at < before) + self._remove(at > after)

    def _remove(self, condition: ColumnElement[bool]) -> int:
        removed = 0
        some = (
            select(SPOT_PRICES.c.id)
            .where(condition)
            .order_by(SPOT_PRICES.c.collected_at)
            .limit(PRUNE_BATCH)
            .scalar_subquery()
        )
        while True:
            with transaction(self._engine) as connection:
                count = connection.execute(
                    delete(SPOT_PRICES).where(SPOT_PRICES.c.id.in_(some))
                ).rowcount
            removed += count
            if count < PRUNE_BATCH:
                return removed
