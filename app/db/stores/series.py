"""Candles and averages in SQL: the store for loads and for uncached reads."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, Executable, delete, exists, select, text, update

from app.core.market import (
    Absent,
    AverageRow,
    AverageSlice,
    Candle,
    CandleRevision,
    Mark,
    QuarantinedCandle,
    RefusedCandle,
    Series,
    SeriesState,
    SeriesVersion,
    VolumeNote,
    Window,
)
from app.core.ports import SeriesStore, SeriesUnit
from app.db.models import ABSENCES, AVERAGES, CANDLES, QUARANTINE, SERIES
from app.db.session import SQLITE, for_reading, read, transaction
from app.db.stores import statements
from app.db.stores.statements import (
    KEY,
    MEANS,
    PRICES,
    STATE_WIDTH,
    as_candle,
    is_series,
    upsert,
    values_of,
    within,
)
from app.domain import rendering
from app.domain.revisions import SALT_BITS, next_revision

Result = TypeVar("Result")

_AVERAGES_FROM: Final = STATE_WIDTH + 1 + len(PRICES)

_ROWS_AT_ONCE: Final = 500
"""Rows that the driver makes in one call, during which no other thread runs."""


class SqlSeriesStore:
    """SeriesStore and AverageStore over SQLite or PostgreSQL.

    `reads` is the engine for reads where that differs from `engine`. With `connection`, all reads
    go over that connection.
    """

    def __init__(
        self, engine: Engine, reads: Engine | None = None, connection: Connection | None = None
    ) -> None:
        self._engine = engine
        self._reads = for_reading(reads or engine)
        self._connection = connection

    @contextmanager
    def begin(self, series: Series) -> Iterator[SeriesUnit]:
        """Open one transaction on one series, locked against other writers."""
        with transaction(self._engine) as connection:
            yield SqlSeriesUnit(connection, series)

    def note_first_try(self, series: Series, now: float) -> None:
        """Store that the first load begins at unix time `now`, unless one was noted or ended."""
        pair, interval = series.pair.symbol, series.interval.value
        values = {"pair": pair, "interval": interval, "at": int(now)}
        with transaction(self._engine) as connection:
            connection.execute(_FIRST_TRY, values)

    def together(self, ask: Callable[[SeriesStore], Result]) -> Result:
        """The result of `ask` with a store whose reads all go to one server."""
        return self._read(
            lambda connection: ask(SqlSeriesStore(self._engine, self._reads, connection))
        )

    def state(self, series: Series) -> SeriesState:
        """The state of the series; EMPTY_SERIES before its first load."""
        return self._read(lambda connection: statements.read_state(connection, series))

    def marks(self) -> dict[tuple[str, str], Mark]:
        """The mark of every stored series, by pair (`BTC-BRL`) and interval. Reads no rows."""
        return {(row[0], row[1]): Mark(*row[2:]) for row in self._rows(statements.marks())}

    def version(self, series: Series) -> SeriesVersion:
        """The state of the series and of the records beside it, from one snapshot."""
        return statements.version_of(self._rows(statements.version(series)))

    def buckets(self, series: Series, spans: Sequence[tuple[int, int]]) -> list[int]:
        """The buckets that have a candle in any [first, last] of `spans`, ascending."""
        query = statements.candles(series, spans, "bucket")
        return self._read(lambda connection: _all(connection.scalars(query)))

    def extent(self, series: Series, first: int, last: int) -> tuple[int, int | None, int | None]:
        """How many buckets of [first, last] have a candle, and the first and last of them."""
        ((count, oldest, newest),) = self._rows(statements.extent(series, first, last))
        return count, oldest, newest

    def absences(self, series: Series, first: int, last: int) -> list[Absent]:
        """The buckets in [first, last] that the exchange did not have, ascending."""
        return [Absent(*row) for row in self._rows(statements.absences(series, first, last))]

    def settled(self, series: Series, first: int, last: int) -> int:
        """The number of buckets in [first, last] with a candle or an absence. Reads no rows."""
        ((count,),) = self._rows(statements.settled(series, first, last))
        return int(count)

    def stretches(self, series: Series, first: int, last: int, size: int) -> list[tuple[int, int]]:
        """The numbers of candles and of buckets with every average, in each `size` buckets."""
        records = self._rows(statements.stretches(series, first, last, size))
        return [(candles, averaged) for _, candles, averaged in records]

    def averaged(self, series: Series, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The buckets of `spans` with a row of averages, ascending, and which it has."""
        return [tuple(row) for row in self._rows(statements.averaged(series, spans))]

    def quarantined(
        self,
        series: Series,
        first: int,
        last: int,
        limit: int | None = None,
        *,
        notes: bool = True,
    ) -> list[QuarantinedCandle]:
        """Refusals of [first, last] and those without a bucket, and notes, last seen first."""
        records = self._rows(statements.quarantined(series, first, last, limit, notes=notes))
        return [statements.as_quarantined(row) for row in records]

    def revisions(self, series: Series, limit: int) -> list[CandleRevision]:
        """Closed candles that the exchange revised, most recently noticed first."""
        records = self._rows(statements.revisions(series, limit))
        return [statements.as_revision(row) for row in records]

    def rows(
        self,
        series: Series,
        first: int,
        last: int,
        limit: int | None = None,
        *,
        descending: bool = False,
    ) -> tuple[SeriesState, list[tuple[Candle, AverageRow]]]:
        """Candles of [first, last] with their averages, and the state they belong to."""
        records = self._rows(
            statements.candles_with_averages(series, first, last, limit, descending=descending)
        )
        rows = [
            (
                as_candle(*row[STATE_WIDTH:_AVERAGES_FROM]),
                AverageRow(row[STATE_WIDTH], tuple(row[_AVERAGES_FROM:])),
            )
            for row in records
            if row[STATE_WIDTH] is not None
        ]
        return statements.state_of(records), rows

    def means(
        self,
        series: Series,
        window: Window,
        first: int,
        last: int,
        limit: int | None = None,
        *,
        descending: bool = False,
    ) -> tuple[SeriesState, list[tuple[int, int]]]:
        """The (bucket, average in 1e-8) of [first, last], and their state."""
        records = self._rows(
            statements.means(series, window, first, last, limit, descending=descending)
        )
        bucket, mean = STATE_WIDTH, STATE_WIDTH + 1
        rows = [(row[bucket], row[mean]) for row in records if row[bucket] is not None]
        return statements.state_of(records), rows

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""
        state, means = self.means(series, window, first, last)
        return AverageSlice(state, len(means), rendering.averages(means))

    def _rows(self, query: Executable) -> Sequence[Any]:
        return self._read(lambda connection: _all(connection.execute(query)))

    def _read(self, ask: Callable[[Connection], Result]) -> Result:
        if self._connection is not None:
            return ask(self._connection)
        return read(self._reads, ask)


def _all(result: Any) -> list[Any]:
    """Every row of a result, whose own `all` would make them in one call."""
    return [row for part in result.partitions(_ROWS_AT_ONCE) for row in part]


# One statement for both databases. SQLAlchemy's own would import PostgreSQL's whole dialect.
_ADD: Final = text(
    "INSERT INTO series (pair, interval, revision) VALUES (:pair, :interval, 0) "
    "ON CONFLICT DO NOTHING"
)

_FIRST_TRY: Final = text(
    "INSERT INTO series (pair, interval, revision, first_tried_at) "
    "VALUES (:pair, :interval, 0, :at) ON CONFLICT (pair, interval) "
    "DO UPDATE SET first_tried_at = excluded.first_tried_at "
    "WHERE series.first_tried_at IS NULL AND series.checked_at IS NULL"
)

_ASKED: Final = ("first_asked_at", "last_asked_at")

_MANY: Final = 1_000
"""A unit that wrote at least this many candles makes PostgreSQL update its statistics at once.

PostgreSQL would do so by itself a minute later. Until then its planner expects a handful of rows,
and joins them in any order: with 40,000 minutes such a read took four minutes.
"""


class SqlSeriesUnit:
    """A SeriesUnit, opened by `SqlSeriesStore.begin`, which commits it or rolls it back."""

    def __init__(self, connection: Connection, series: Series) -> None:
        self._connection = connection
        self._series = series
        self._name = (series.pair.symbol, series.interval.value)
        self._revised: Sequence[tuple[Candle, Candle]] = ()
        self._written = 0
        self._lock()
        self.state = statements.read_state(connection, series)

    def _lock(self) -> None:
        # On SQLite the transaction already holds the only write lock. PostgreSQL locks the row.
        pair, interval = self._name
        self._connection.execute(_ADD, {"pair": pair, "interval": interval})
        self._connection.execute(
            select(SERIES.c.revision).where(*is_series(SERIES, self._series)).with_for_update()
        )

    def candles(self, first: int, last: int) -> list[Candle]:
        """The stored candles of the buckets [first, last], ascending."""
        query = statements.candles(self._series, [(first, last)], "bucket", *PRICES)
        return [as_candle(*row) for row in self._connection.execute(query)]

    def closes(self, first: int, last: int) -> tuple[list[int], list[int]]:
        """Buckets and closes (1e-8) stored in [first, last], ascending, as two equal columns."""
        query = statements.candles(self._series, [(first, last)], "bucket", "close")
        rows = self._connection.execute(query).all()
        return [row[0] for row in rows], [row[1] for row in rows]

    def clear(self) -> list[int]:
        """Delete all candles, averages and refused candles; returns the candles' buckets."""
        query = select(CANDLES.c.bucket).where(*is_series(CANDLES, self._series))
        buckets = sorted(self._connection.scalars(query))
        for table in (AVERAGES, CANDLES, QUARANTINE):
            self._connection.execute(delete(table).where(*is_series(table, self._series)))
        self.state = replace(self.state, first=None, last=None)
        return buckets

    def put_candles(self, candles: Sequence[Candle]) -> None:
        """Insert or replace candles, ascending and unique. Deletes their noted absences."""
        if not candles:
            return
        rows = [(*self._name, candle.bucket, *values_of(candle)) for candle in candles]
        upsert(self._connection, "candles", KEY, PRICES, rows)
        self._written += len(rows)
        arrived = exists().where(
            *is_series(CANDLES, self._series),
            CANDLES.c.bucket == ABSENCES.c.bucket,
        )
        first, last = candles[0].bucket, candles[-1].bucket
        self._connection.execute(
            delete(ABSENCES).where(*within(ABSENCES, self._series, first, last), arrived)
        )

    def put_averages(self, rows: Sequence[AverageRow]) -> None:
        """Insert or replace averages, ascending and unique, each of a bucket with a candle."""
        values = [(*self._name, row.bucket, *row.values) for row in rows]
        upsert(self._connection, "averages", KEY, MEANS, values)

    def drop_orphans(self, first: int, last: int) -> int:
        """Delete the averages of [first, last] whose bucket has no candle; returns their number."""
        orphans = statements.orphans(self._series, first, last)
        return self._connection.execute(delete(AVERAGES).where(*orphans)).rowcount

    def note_absent(self, buckets: Sequence[int], asked_at: int) -> None:
        """Store that the exchange had no candle for these buckets at unix time `asked_at`."""
        rows = [(*self._name, bucket, asked_at, asked_at) for bucket in buckets]
        upsert(self._connection, "absences", KEY, _ASKED, rows, keep=_ASKED[:1])

    def quarantine(self, items: Sequence[RefusedCandle | VolumeNote], seen_at: int) -> None:
        """Store refusals and notes of unix time `seen_at`, each reason once per bucket."""
        statements.put_quarantined(self._connection, self._name, items, seen_at)

    def note_revised(self, changed: Sequence[tuple[Candle, Candle]]) -> None:
        """Keep (old, new) of revised candles; `finish` stores them with its revision."""
        self._revised = changed

    def finish(self, *, changed: bool, now: float, checked: bool = True) -> int:
        """End the unit at unix time `now`; returns the revision, a new one where data changed."""
        revision = self.state.revision
        if changed:
            revision = next_revision(revision, now, secrets.randbits(SALT_BITS))
        statements.put_revisions(self._connection, self._name, self._revised, revision, int(now))
        self._connection.execute(
            update(SERIES)
            .where(*is_series(SERIES, self._series))
            .values(revision=revision, checked_at=int(now) if checked else self.state.checked_at)
        )
        if self._written >= _MANY and self._connection.dialect.name != SQLITE:
            self._connection.execute(text("ANALYZE candles, averages"))
        return revision
