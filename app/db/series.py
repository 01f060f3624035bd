"""Candles and averages in SQL: the store that loads write to and plain reads come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

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
from app.core.ports import SeriesUnit
from app.db import queries, records
from app.db.queries import PRICES, STATE_WIDTH
from app.db.session import for_reading, reading, transaction
from app.db.units import SqlSeriesUnit
from app.utils import rendering

_AVERAGES_FROM = STATE_WIDTH + 1 + len(PRICES)


class SqlSeriesStore:
    """SeriesStore and AverageStore over SQLite or PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = for_reading(engine)

    @contextmanager
    def begin(self, pair: Pair, interval: Interval) -> Iterator[SeriesUnit]:
        """Open one transaction on one series, locked against other writers."""
        with transaction(self._engine) as connection:
            yield SqlSeriesUnit(connection, pair, interval)

    def state(self, pair: Pair, interval: Interval) -> SeriesState:
        """What is known of the series; EMPTY_SERIES where it was never loaded."""
        with reading(self._reads) as connection:
            return queries.read_state(connection, pair, interval)

    def buckets(self, pair: Pair, interval: Interval, first: int, last: int) -> list[int]:
        """The buckets in [first, last] that have a candle, ascending."""
        with reading(self._reads) as connection:
            wanted = queries.candles(pair, interval, first, last, "bucket")
            return list(connection.scalars(wanted))

    def absences(self, pair: Pair, interval: Interval, first: int, last: int) -> list[Absent]:
        """The buckets in [first, last] that the exchange did not have when asked, ascending."""
        with reading(self._reads) as connection:
            found = connection.execute(queries.absences(pair, interval, first, last))
            return [Absent(*row) for row in found]

    def settled(self, pair: Pair, interval: Interval, first: int, last: int) -> int:
        """How many buckets of [first, last] have a candle or are noted as absent. Reads no rows."""
        with reading(self._reads) as connection:
            return connection.execute(queries.settled(pair, interval, first, last)).scalar_one()

    def wrong_averages(self, pair: Pair, interval: Interval, first: int, last: int) -> list[int]:
        """The buckets in [first, last], ascending, whose averages contradict the candles."""
        with reading(self._reads) as connection:
            return list(connection.scalars(queries.wrong_averages(pair, interval, first, last)))

    def quarantined(
        self, pair: Pair, interval: Interval, first: int, last: int, limit: int | None = None
    ) -> list[QuarantinedCandle]:
        """Refused candles of [first, last], and those without a bucket, the last seen ones first."""
        with reading(self._reads) as connection:
            found = connection.execute(records.quarantined(pair, interval, first, last, limit))
            return [records.as_quarantined(row) for row in found]

    def revisions(self, pair: Pair, interval: Interval, limit: int) -> list[CandleRevision]:
        """Closed candles that the exchange revised, the last noticed ones first."""
        with reading(self._reads) as connection:
            found = connection.execute(records.revisions(pair, interval, limit))
            return [records.as_revision(row) for row in found]

    def rows(
        self, pair: Pair, interval: Interval, first: int, last: int
    ) -> tuple[SeriesState, list[tuple[Candle, AverageRow]]]:
        """Candles of [first, last] with their averages, ascending, and the state they belong to."""
        with reading(self._reads) as connection:
            wanted = queries.candles_with_averages(pair, interval, first, last)
            found = connection.execute(wanted).all()
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
        with reading(self._reads) as connection:
            found = connection.execute(queries.means(pair, interval, window, first, last)).all()
        state = SeriesState(*found[0][:STATE_WIDTH]) if found else EMPTY_SERIES
        return state, [(row[4], row[5]) for row in found if row[4] is not None]

    def read(
        self, pair: Pair, interval: Interval, window: Window, first: int, last: int
    ) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""
        state, means = self.means(pair, interval, window, first, last)
        return AverageSlice(state, len(means), rendering.averages(means))
