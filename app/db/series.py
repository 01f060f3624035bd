"""Candles and averages in SQL: the store that loads write to and plain reads come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    delete,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from app.core.market import (
    EMPTY_SERIES,
    WINDOWS,
    AverageRow,
    AverageSlice,
    Candle,
    Interval,
    Pair,
    SeriesState,
    Window,
)
from app.core.ports import SeriesUnit
from app.db.models import Absence, Series, StoredAverages, StoredCandle
from app.db.session import SQLITE, for_reading, reading, transaction
from app.db.writes import upsert
from app.utils import rendering

_KEY: Final = ("pair", "interval", "bucket")
_PRICES: Final = ("open", "high", "low", "close", "volume")
_MEANS: Final = tuple(f"mms_{window}" for window in WINDOWS)

_CANDLE: Final = [getattr(StoredCandle, name) for name in ("bucket", *_PRICES)]
_AVERAGE: Final = {
    window: getattr(StoredAverages, name) for window, name in zip(WINDOWS, _MEANS, strict=True)
}


class SqlSeriesStore:
    """SeriesStore and AverageStore over SQLite or PostgreSQL.

    `read_engine` may be a replica; writes and what a load reads go to `engine`.
    """

    def __init__(self, engine: Engine, read_engine: Engine | None = None) -> None:
        self._engine = engine
        self._reads = for_reading(read_engine or engine)

    @contextmanager
    def begin(self, pair: Pair, interval: Interval) -> Iterator[SeriesUnit]:
        """Open one transaction on one series, locked against other writers."""
        with transaction(self._engine) as connection:
            yield SqlSeriesUnit(connection, pair, interval)

    def state(self, pair: Pair, interval: Interval) -> SeriesState:
        """What is known of the series."""
        with reading(self._reads) as connection:
            return _state(connection, pair, interval)

    def buckets(self, pair: Pair, interval: Interval, first: int, last: int) -> list[int]:
        """The buckets in [first, last] that have a candle, ascending."""
        with reading(self._reads) as connection:
            return list(connection.scalars(_candles(pair, interval, first, last, "bucket")))

    def absent(
        self, pair: Pair, interval: Interval, first: int, last: int, *, asked_since: int
    ) -> list[int]:
        """The buckets in [first, last] that the exchange did not have when asked since then."""
        wanted = (
            select(Absence.bucket)
            .where(*_within(Absence, pair, interval, first, last))
            .where(Absence.last_asked_at >= asked_since)
            .order_by(Absence.bucket)
        )
        with reading(self._reads) as connection:
            return list(connection.scalars(wanted))

    def rows(
        self, pair: Pair, interval: Interval, first: int, last: int
    ) -> tuple[SeriesState, list[tuple[Candle, AverageRow]]]:
        """Candles of [first, last] with their averages, ascending, and the state they belong to."""
        joined = and_(
            StoredAverages.pair == StoredCandle.pair,
            StoredAverages.interval == StoredCandle.interval,
            StoredAverages.bucket == StoredCandle.bucket,
        )
        wanted = (
            select(*_state_columns(pair, interval), *_CANDLE, *_AVERAGE.values())
            .select_from(Series)
            .outerjoin(StoredCandle, and_(*_within(StoredCandle, pair, interval, first, last)))
            .outerjoin(StoredAverages, joined)
            .where(Series.pair == pair.symbol, Series.interval == interval.value)
            .order_by(StoredCandle.bucket)
        )
        with reading(self._reads) as connection:
            found = connection.execute(wanted).all()
        rows = [
            (Candle(*row[4:10]), AverageRow(row[4], tuple(row[10:])))
            for row in found
            if row[4] is not None
        ]
        return (SeriesState(*found[0][:4]) if found else EMPTY_SERIES), rows

    def read(
        self, pair: Pair, interval: Interval, window: Window, first: int, last: int
    ) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""
        mean = _AVERAGE[window]
        wanted = (
            select(*_state_columns(pair, interval), StoredAverages.bucket, mean)
            .select_from(Series)
            .outerjoin(
                StoredAverages,
                and_(*_within(StoredAverages, pair, interval, first, last), mean.is_not(None)),
            )
            .where(Series.pair == pair.symbol, Series.interval == interval.value)
            .order_by(StoredAverages.bucket)
        )
        with reading(self._reads) as connection:
            found = connection.execute(wanted).all()
        state = SeriesState(*found[0][:4]) if found else EMPTY_SERIES
        means = [(row[4], row[5]) for row in found if row[4] is not None]
        return AverageSlice(state, len(means), rendering.averages(means))


class SqlSeriesUnit:
    """One series inside one open transaction. Made by `SqlSeriesStore.begin`."""

    def __init__(self, connection: Connection, pair: Pair, interval: Interval) -> None:
        self._connection = connection
        self._pair = pair
        self._interval = interval
        self._name = (pair.symbol, interval.value)
        self._lock()
        self.state = _state(connection, pair, interval)

    def _lock(self) -> None:
        # SQLite's transaction holds the only write lock already; PostgreSQL locks the series' row.
        dialect = sqlite if self._connection.dialect.name == SQLITE else postgresql
        row = dialect.insert(Series).values(
            pair=self._pair.symbol, interval=self._interval.value, revision=0
        )
        self._connection.execute(row.on_conflict_do_nothing())
        self._connection.execute(
            select(Series.revision)
            .where(*_is(Series, self._pair, self._interval))
            .with_for_update()
        )

    def candles(self, first: int, last: int) -> list[Candle]:
        """The stored candles of the buckets [first, last], ascending."""
        wanted = _candles(self._pair, self._interval, first, last, "bucket", *_PRICES)
        return [Candle(*row) for row in self._connection.execute(wanted)]

    def closes(self, first: int, last: int) -> tuple[list[int], list[int]]:
        """Buckets and closes (1e-8) stored in [first, last], ascending, as two equal columns."""
        wanted = _candles(self._pair, self._interval, first, last, "bucket", "close")
        rows = self._connection.execute(wanted).all()
        return [row[0] for row in rows], [row[1] for row in rows]

    def put_candles(self, candles: Sequence[Candle]) -> None:
        """Insert or replace candles; ascending and unique."""
        if not candles:
            return
        rows = [(*self._name, c.bucket, c.open, c.high, c.low, c.close, c.volume) for c in candles]
        upsert(self._connection, "candles", _KEY, _PRICES, rows)
        # What has come is no longer absent.
        arrived = exists().where(
            *_is(StoredCandle, self._pair, self._interval), StoredCandle.bucket == Absence.bucket
        )
        first, last = candles[0].bucket, candles[-1].bucket
        self._connection.execute(
            delete(Absence).where(
                *_within(Absence, self._pair, self._interval, first, last), arrived
            )
        )

    def put_averages(self, rows: Sequence[AverageRow]) -> None:
        """Insert or replace averages; ascending and unique, each of a bucket with a candle."""
        values = [(*self._name, row.bucket, *row.values) for row in rows]
        upsert(self._connection, "averages", _KEY, _MEANS, values)

    def note_absent(self, buckets: Sequence[int], asked_at: int) -> None:
        """Remember that the exchange, asked at unix time `asked_at`, had no candle for these."""
        rows = [(*self._name, bucket, asked_at, asked_at) for bucket in buckets]
        times = ("first_asked_at", "last_asked_at")
        upsert(self._connection, "absences", _KEY, times, rows, keep=("first_asked_at",))

    def finish(self, *, changed: bool, checked_at: int) -> int:
        """Record the load; give the series a new revision where data changed. Returns the revision.

        A revision is the commit's unix time in milliseconds, or one more than the last: it grows
        even across a restored backup, so that no cache takes old data for new.
        """
        revision = self.state.revision
        if changed:
            revision = max(revision + 1, checked_at * 1000)
        self._connection.execute(
            update(Series)
            .where(*_is(Series, self._pair, self._interval))
            .values(revision=revision, checked_at=checked_at)
        )
        return revision


def _is(table: Any, pair: Pair, interval: Interval) -> tuple[ColumnElement[bool], ...]:
    return table.pair == pair.symbol, table.interval == interval.value


def _within(
    table: Any, pair: Pair, interval: Interval, first: int, last: int
) -> tuple[ColumnElement[bool], ...]:
    return (*_is(table, pair, interval), table.bucket >= first, table.bucket <= last)


def _candles(pair: Pair, interval: Interval, first: int, last: int, *columns: str) -> Select[Any]:
    return (
        select(*(getattr(StoredCandle, name) for name in columns))
        .where(*_within(StoredCandle, pair, interval, first, last))
        .order_by(StoredCandle.bucket)
    )


def _state_columns(pair: Pair, interval: Interval) -> tuple[Any, ...]:
    """The columns of SeriesState, in its order; oldest and newest come from the key's two ends."""
    stored = _is(StoredCandle, pair, interval)
    return (
        Series.revision,
        select(func.min(StoredCandle.bucket)).where(*stored).scalar_subquery(),
        select(func.max(StoredCandle.bucket)).where(*stored).scalar_subquery(),
        Series.checked_at,
    )


def _state(connection: Connection, pair: Pair, interval: Interval) -> SeriesState:
    wanted = select(*_state_columns(pair, interval)).where(*_is(Series, pair, interval))
    row = connection.execute(wanted).one_or_none()
    return SeriesState(*row) if row is not None else EMPTY_SERIES
