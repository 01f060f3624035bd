"""Asking a database to store candles directly, past all code of ours: what does it refuse, and as what?

A program without our validation would write the numbers of a row in 1e-8, NULL for what is missing, and
whatever else it was sent as it is. Rows that no column could be given like that are not asked about:
lists, booleans, and text that databases read as a number though it is none in JSON (` 5`, `0x10`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any, Final

from sqlalchemy import Engine

from app.db.session import SQLITE
from benchmarks.reliability.oracle import LARGEST, STEPS, TICK, Values, consistent, rounded, whole

Row = tuple[object, ...]

_COLUMNS: Final = "pair, interval, bucket, open, high, low, close, volume"
_DIGITS: Final = Context(prec=500)
_REFUSALS: Final = {
    "SQLITE_CONSTRAINT_CHECK": "CHECK",
    "SQLITE_CONSTRAINT_NOTNULL": "NOT NULL",
    "23514": "CHECK",
    "23502": "NOT NULL",
    "22P02": "type",
    "22003": "type",
}
"""What refuses a row, by the name or number that SQLite or PostgreSQL gives it. A refusal for another
reason, an existing key say, would prove nothing."""


class Asking:
    """A migrated, empty database that is asked to take candles and keeps none."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.raw_connection()
        driver: Any = self._connection.driver_connection
        self._cursor: Any = driver.cursor()
        self._trouble: Any = engine.dialect.loaded_dbapi.Error
        mark = "?"
        if engine.dialect.name != SQLITE:
            mark = "%s"
            driver.autocommit = True
            # It would write every refusal into its log.
            self._cursor.execute("SET log_min_messages = panic")
        marks = ", ".join([mark] * 6)
        self._insert = f"INSERT INTO candles ({_COLUMNS}) VALUES ('BTC-BRL', {mark}, {marks})"
        for interval in STEPS:
            self._cursor.execute(
                "INSERT INTO series (pair, interval, revision) VALUES ('BTC-BRL', "
                f"'{interval}', 0)"
            )
        self.asked = 0
        self.refusals: Counter[str] = Counter()

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def refuses(self, row: Row, interval: str) -> bool:
        """Whether it refuses this row of six values."""
        self.asked += 1
        try:
            self._cursor.execute(self._insert, (interval, *row))
        except self._trouble as error:
            code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
            if code not in _REFUSALS:
                raise AssertionError(f"{row}: {error}") from error
            self.refusals[_REFUSALS[code]] += 1
            return True
        self._cursor.execute("DELETE FROM candles")
        return False

    def takes(self, candles: Sequence[Values], interval: str) -> bool:
        """Whether it takes all of these together."""
        self._cursor.execute("BEGIN")
        try:
            self._cursor.executemany(self._insert, [(interval, *values) for values in candles])
        except self._trouble:
            return False
        finally:
            self._cursor.execute("ROLLBACK")
        return True


def expressed(row: Row, interval: str) -> Row | None:
    """A row that is wrong by itself as a program without validation would write it; None where it
    could not, or where what is wrong with it would be lost on the way."""
    found = [_value(row[0], 1), *(_value(value, TICK) for value in row[1:5]), _volume(row[5])]
    if any(value is ... for value in found):
        return None
    numbers = [value for value in found if isinstance(value, int)]
    if len(numbers) == len(found) and consistent(_six(numbers), interval):
        raise AssertionError(f"the oracle contradicts itself about {row} of {interval}")
    return tuple(found)


def _six(numbers: Sequence[int]) -> Values:
    bucket, opened, high, low, close, volume = numbers
    return bucket, opened, high, low, close, volume


def _value(value: object, scale: int) -> object:
    """The number that is meant, or what stands in its place; `...` where no column can be given it."""
    number = whole(value, scale)
    if number is not None:
        return _fitting(number)
    if value is None:
        return None
    if not isinstance(value, str):
        return ...
    if rounded(value) is None:
        return ... if _loosely_a_number(value) else value
    exact = _DIGITS.scaleb(Decimal(value), len(str(scale)) - 1)
    # From 2^52 on SQLite's own numbers have no fractions: it stores another, whole one.
    return ... if float(exact).is_integer() else str(exact)


def _volume(value: object) -> object:
    number = rounded(value)
    return _value(value, TICK) if number is None else _fitting(number)


def _fitting(number: int) -> int | str:
    return number if abs(number) <= LARGEST else str(number)


def _loosely_a_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        pass
    try:
        int(text, 0)
    except ValueError:
        return False
    return True
