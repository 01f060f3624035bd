"""Candles and averages in SQL: the store that loads write to and plain reads come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, Executable

from app.core.market import (
    EMPTY_SERIES,
    Absent,
    AverageRow,
    AverageSlice,
    Candle,
    CandleRevision,
    Interval,
    Pair,
    QuarantinedCandle,
    SeriesState,
    Window,
)
from app.core.ports import SeriesStore, SeriesUnit
from app.db import queries, records
from app.db.queries import PRICES, STATE_WIDTH
from app.db.session import for_reading, read, transaction
from app.db.units import SqlSeriesUnit
from app.utils import rendering

Result = TypeVar("Result")

_AVERAGES_FROM: Final = STATE_WIDTH + 1 + len(PRICES)


class SqlSeriesStore:
    """SeriesStore and AverageStore over SQLite or PostgreSQL.

    `reads` is an engine for reads where that is another one. With `connection` all reads go over it.
    """

    def __init__(
        self, engine: Engine, reads: Engine | None = None, connection: Connection | None = None
    ) -> None:
        self._engine = engine
        self._reads = for_reading(reads or engine)
        self._connection = connection

    @contextmanager
    def begin(self, pair: Pair, interval: Interval) -> Iterator[SeriesUnit]:
        """Open one transaction on one series, locked against other writers."""
        with transaction(self._engine) as connection:
            yield SqlSeriesUnit(connection, pair, interval)

    def together(self, ask: Callable[[SeriesStore], Result]) -> Result:
        """What `ask` gets from a store whose answers all come from one server."""
        return self._read(
            lambda connection: ask(SqlSeriesStore(self._engine, self._reads, connection))
        )

    def state(self, pair: Pair, interval: Interval) -> SeriesState:
        """What is known of the series; EMPTY_SERIES where it was never loaded."""
        return self._read(lambda connection: queries.read_state(connection, pair, interval))

    def buckets(self, pair: Pair, interval: Interval, first: int, last: int) -> list[int]:
        """The buckets in [first, last] that have a candle, ascending."""
        found = self._rows(queries.candles(pair, interval, first, last, "bucket"))
        return [row[0] for row in found]

    def absences(self, pair: Pair, interval: Interval, first: int, last: int) -> list[Absent]:
        """The buckets in [first, last] that the exchange did not have when asked, ascending."""
        return [Absent(*row) for row in self._rows(queries.absences(pair, interval, first, last))]

    def settled(self, pair: Pair, interval: Interval, first: int, last: int) -> int:
        """How many buckets of [first, last] have a candle or are noted as absent. Reads no rows."""
        ((count,),) = self._rows(queries.settled(pair, interval, first, last))
        return int(count)

    def wrong_averages(self, pair: Pair, interval: Interval, first: int, last: int) -> list[int]:
        """The buckets in [first, last], ascending, whose averages contradict the candles."""
        found = self._rows(queries.wrong_averages(pair, interval, first, last))
        return [row[0] for row in found]

    def quarantined(
        self, pair: Pair, interval: Interval, first: int, last: int, limit: int | None = None
    ) -> list[QuarantinedCandle]:
        """Refused candles of [first, last], and those without a bucket, the last seen ones first."""
        found = self._rows(records.quarantined(pair, interval, first, last, limit))
        return [records.as_quarantined(row) for row in found]

    def revisions(self, pair: Pair, interval: Interval, limit: int) -> list[CandleRevision]:
        """Closed candles that the exchange revised, the last noticed ones first."""
        found = self._rows(records.revisions(pair, interval, limit))
        return [records.as_revision(row) for row in found]

    def rows(
        self, pair: Pair, interval: Interval, first: int, last: int
    ) -> tuple[SeriesState, list[tuple[Candle, AverageRow]]]:
        """Candles of [first, last] with their averages, ascending, and the state they belong to."""
        found = self._rows(queries.candles_with_averages(pair, interval, first, last))
        rows = [
            (
                Candle(*row[STATE_WIDTH:_AVERAGES_FROM]),
                AverageRow(row[STATE_WIDTH], tuple(row[_AVERAGES_FROM:])),
            )
            for row in found
            if row[STATE_WIDTH] is not None
        ]
        return (SeriesState(*found[0][:STATE_WIDTH]) if found else EMPTY_SERIES), rows

    def means(
        self, pair: Pair, interval: Interval, window: Window, first: int, last: int
    ) -> tuple[SeriesState, list[tuple[int, int]]]:
        """The (bucket, average in 1e-8) in [first, last], ascending, and their state, in one read."""
        found = self._rows(queries.means(pair, interval, window, first, last))
        state = SeriesState(*found[0][:STATE_WIDTH]) if found else EMPTY_SERIES
        return state, [(row[4], row[5]) for row in found if row[4] is not None]

    def read(
        self, pair: Pair, interval: Interval, window: Window, first: int, last: int
    ) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""
        state, means = self.means(pair, interval, window, first, last)
        return AverageSlice(state, len(means), rendering.averages(means))

    def _rows(self, wanted: Executable) -> Sequence[Any]:
        return self._read(lambda connection: connection.execute(wanted).all())

    def _read(self, ask: Callable[[Connection], Result]) -> Result:
        if self._connection is not None:
            return ask(self._connection)
        return read(self._reads, ask)
