"""One series inside one open transaction: what a load reads and writes before it commits."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, exists, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from app.core.market import AverageRow, Candle, Interval, Pair, RefusedCandle
from app.db import queries, records
from app.db.models import Absence, Series, StoredAverages, StoredCandle
from app.db.queries import KEY, MEANS, PRICES, is_series, within
from app.db.session import SQLITE
from app.db.writes import upsert
from app.utils.revisions import SALT_BITS, next_revision

_ASKED: Final = ("first_asked_at", "last_asked_at")

_MANY: Final = 1_000
"""Candles written by one unit from which on PostgreSQL is told to count anew. It would do so by itself
a minute later; until then it takes the new rows for a handful, and reads that join them for quick in
any order: with 40,000 minutes such a read took four minutes."""


class SqlSeriesUnit:
    """A SeriesUnit; made by `SqlSeriesStore.begin`, which commits or undoes it."""

    def __init__(self, connection: Connection, pair: Pair, interval: Interval) -> None:
        self._connection = connection
        self._pair = pair
        self._interval = interval
        self._name = (pair.symbol, interval.value)
        self._revised: Sequence[tuple[Candle, Candle]] = ()
        self._written = 0
        self._lock()
        self.state = queries.read_state(connection, pair, interval)

    def _lock(self) -> None:
        # SQLite's transaction holds the only write lock already; PostgreSQL locks the series' row.
        dialect = sqlite if self._connection.dialect.name == SQLITE else postgresql
        row = dialect.insert(Series).values(
            pair=self._pair.symbol, interval=self._interval.value, revision=0
        )
        self._connection.execute(row.on_conflict_do_nothing())
        self._connection.execute(
            select(Series.revision)
            .where(*is_series(Series, self._pair, self._interval))
            .with_for_update()
        )

    def candles(self, first: int, last: int) -> list[Candle]:
        """The stored candles of the buckets [first, last], ascending."""
        wanted = queries.candles(self._pair, self._interval, first, last, "bucket", *PRICES)
        return [Candle(*row) for row in self._connection.execute(wanted)]

    def closes(self, first: int, last: int) -> tuple[list[int], list[int]]:
        """Buckets and closes (1e-8) stored in [first, last], ascending, as two equal columns."""
        wanted = queries.candles(self._pair, self._interval, first, last, "bucket", "close")
        rows = self._connection.execute(wanted).all()
        return [row[0] for row in rows], [row[1] for row in rows]

    def put_candles(self, candles: Sequence[Candle]) -> None:
        """Insert or replace candles; ascending and unique. What has come is no longer absent."""
        if not candles:
            return
        rows = [(*self._name, c.bucket, c.open, c.high, c.low, c.close, c.volume) for c in candles]
        upsert(self._connection, "candles", KEY, PRICES, rows)
        self._written += len(rows)
        arrived = exists().where(
            *is_series(StoredCandle, self._pair, self._interval),
            StoredCandle.bucket == Absence.bucket,
        )
        first, last = candles[0].bucket, candles[-1].bucket
        self._connection.execute(
            delete(Absence).where(
                *within(Absence, self._pair, self._interval, first, last), arrived
            )
        )

    def put_averages(self, rows: Sequence[AverageRow]) -> None:
        """Insert or replace averages; ascending and unique, each of a bucket with a candle."""
        values = [(*self._name, row.bucket, *row.values) for row in rows]
        upsert(self._connection, "averages", KEY, MEANS, values)

    def drop_orphans(self, first: int, last: int) -> int:
        """Delete the averages of [first, last] whose bucket has no candle; returns how many."""
        lost = queries.orphans(self._pair, self._interval, first, last)
        return self._connection.execute(delete(StoredAverages).where(*lost)).rowcount

    def note_absent(self, buckets: Sequence[int], asked_at: int) -> None:
        """Remember that the exchange, asked at unix time `asked_at`, had no candle for these."""
        rows = [(*self._name, bucket, asked_at, asked_at) for bucket in buckets]
        upsert(self._connection, "absences", KEY, _ASKED, rows, keep=_ASKED[:1])

    def quarantine(self, refused: Sequence[RefusedCandle], seen_at: int) -> None:
        """Keep candles that were refused at unix time `seen_at`, each reason once per bucket."""
        records.put_quarantined(self._connection, self._name, refused, seen_at)

    def note_revised(self, changed: Sequence[tuple[Candle, Candle]]) -> None:
        """Keep (old, new) of revised candles, to be written with the revision of `finish`."""
        self._revised = changed

    def finish(self, *, changed: bool, now: float, checked: bool = True) -> int:
        """End the unit at unix time `now`, with a new revision where data changed; returns it."""
        revision = self.state.revision
        if changed:
            revision = next_revision(revision, now, secrets.randbits(SALT_BITS))
        records.put_revisions(self._connection, self._name, self._revised, revision, int(now))
        self._connection.execute(
            update(Series)
            .where(*is_series(Series, self._pair, self._interval))
            .values(revision=revision, checked_at=int(now) if checked else self.state.checked_at)
        )
        if self._written >= _MANY and self._connection.dialect.name != SQLITE:
            self._connection.execute(text("ANALYZE candles, averages"))
        return revision
