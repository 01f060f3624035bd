"""The selects that reads and writes share, on one series each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    and_,
    exists,
    false,
    func,
    not_,
    or_,
    select,
)

from app.core.market import (
    EMPTY_SERIES,
    WINDOWS,
    Candle,
    CandleRevision,
    QuarantinedCandle,
    RefusedCandle,
    Series,
    SeriesState,
    Window,
)
from app.db.models import (
    Absence,
    Quarantined,
    RevisedCandle,
    StoredAverages,
    StoredCandle,
    StoredSeries,
)

KEY: Final = ("pair", "interval", "bucket")
PRICES: Final = ("open", "high", "low", "close", "volume")
MEANS: Final = tuple(f"mms_{window}" for window in WINDOWS)

STATE_WIDTH: Final = 4
"""How many columns of a row `state_columns` takes."""

_MEAN: Final = {
    window: getattr(StoredAverages, name) for window, name in zip(WINDOWS, MEANS, strict=True)
}


def is_series(table: Any, series: Series) -> tuple[ColumnElement[bool], ...]:
    """The conditions that pick one series' rows."""
    return table.pair == series.pair.symbol, table.interval == series.interval.value


def within(table: Any, series: Series, first: int, last: int) -> tuple[ColumnElement[bool], ...]:
    """The conditions that pick one series' rows of the buckets [first, last]."""
    return (*is_series(table, series), table.bucket >= first, table.bucket <= last)


def candles(series: Series, first: int, last: int, *columns: str) -> Select[Any]:
    """These columns of the candles of [first, last], ascending."""
    return (
        select(*(getattr(StoredCandle, name) for name in columns))
        .where(*within(StoredCandle, series, first, last))
        .order_by(StoredCandle.bucket)
    )


def state_columns(series: Series) -> tuple[Any, ...]:
    """The columns of SeriesState, in its order; oldest and newest come from the key's two ends."""
    stored = is_series(StoredCandle, series)
    return (
        StoredSeries.revision,
        select(func.min(StoredCandle.bucket)).where(*stored).scalar_subquery(),
        select(func.max(StoredCandle.bucket)).where(*stored).scalar_subquery(),
        StoredSeries.checked_at,
    )


def read_state(connection: Connection, series: Series) -> SeriesState:
    """What is known of the series; EMPTY_SERIES where it was never loaded."""
    query = select(*state_columns(series)).where(*is_series(StoredSeries, series))
    row = connection.execute(query).one_or_none()
    return SeriesState(*row) if row is not None else EMPTY_SERIES


def candles_with_averages(series: Series, first: int, last: int) -> Select[Any]:
    """State, candle and averages in one statement, so that all are of one snapshot.

    One row with only the state where the series has no candle in [first, last].
    """
    same = and_(
        *(getattr(StoredAverages, name) == getattr(StoredCandle, name) for name in KEY),
    )
    return (
        select(
            *state_columns(series),
            *(getattr(StoredCandle, name) for name in ("bucket", *PRICES)),
            *_MEAN.values(),
        )
        .select_from(StoredSeries)
        .outerjoin(StoredCandle, and_(*within(StoredCandle, series, first, last)))
        .outerjoin(StoredAverages, same)
        .where(*is_series(StoredSeries, series))
        .order_by(StoredCandle.bucket)
    )


def means(series: Series, window: Window, first: int, last: int) -> Select[Any]:
    """State, bucket and average in one statement; one row with only the state where none exists."""
    mean = _MEAN[window]
    rows = and_(*within(StoredAverages, series, first, last), mean.is_not(None))
    return (
        select(*state_columns(series), StoredAverages.bucket, mean)
        .select_from(StoredSeries)
        .outerjoin(StoredAverages, rows)
        .where(*is_series(StoredSeries, series))
        .order_by(StoredAverages.bucket)
    )


def absences(series: Series, first: int, last: int) -> Select[int, int, int]:
    """The columns of Absent for [first, last], ascending."""
    return (
        select(Absence.bucket, Absence.first_asked_at, Absence.last_asked_at)
        .where(*within(Absence, series, first, last))
        .order_by(Absence.bucket)
    )


def settled(series: Series, first: int, last: int) -> Select[int]:
    """How many buckets of [first, last] have a candle or are noted as absent; none has both."""
    counts = [
        select(func.count()).where(*within(table, series, first, last)).scalar_subquery()
        for table in (StoredCandle, Absence)
    ]
    return select(counts[0] + counts[1])


def orphans(series: Series, first: int, last: int) -> tuple[Any, ...]:
    """The conditions that pick the averages of [first, last] whose candle is gone.

    The schema forbids them, but SQLite holds a program to its foreign keys only where that program
    asks for it.
    """
    same = (getattr(StoredCandle, name) == getattr(StoredAverages, name) for name in KEY)
    return *within(StoredAverages, series, first, last), not_(exists().where(*same))


def wrong_averages(series: Series, first: int, last: int) -> CompoundSelect[Any]:
    """The buckets of [first, last] where an average is absent that should exist, or the reverse.

    Rows are unique and ascending on the grid, so the window of N buckets that ends at a row is whole
    exactly when the row N - 1 before it lies N - 1 steps back.
    """
    step = series.step
    bucket = StoredCandle.bucket
    back = {n: func.lag(bucket, n - 1).over(order_by=bucket).label(f"back_{n}") for n in WINDOWS}
    same = and_(*(getattr(StoredAverages, name) == getattr(StoredCandle, name) for name in KEY))
    rows = (
        select(bucket, *_MEAN.values(), *back.values())
        .outerjoin(StoredAverages, same)
        .where(*within(StoredCandle, series, first - (WINDOWS[-1] - 1) * step, last))
        .subquery()
    )
    wrong = []
    for window in WINDOWS:
        mean = rows.c[f"mms_{window}"]
        start = rows.c.bucket - (window - 1) * step
        whole = func.coalesce(rows.c[f"back_{window}"] == start, false())
        wrong += [and_(mean.is_(None), whole), and_(mean.is_not(None), not_(whole))]
    contradicting = select(rows.c.bucket).where(rows.c.bucket >= first, or_(*wrong))
    lost = select(StoredAverages.bucket).where(*orphans(series, first, last))
    return contradicting.union_all(lost).order_by("bucket")


UNKNOWN_BUCKET: Final = 0
"""Stands for the bucket of a candle whose stamp could not be read."""

_SEEN: Final = ("first_seen_at", "last_seen_at")
_REASON_LENGTH: Final = 300
_OLD: Final = tuple(f"old_{name}" for name in PRICES)
_NEW: Final = tuple(f"new_{name}" for name in PRICES)


def put_quarantined(
    connection: Connection,
    name: tuple[str, str],
    refused: Sequence[RefusedCandle],
    seen_at: int,
) -> None:
    """Keep refused candles of the series `name` (pair, interval), each reason once per bucket."""
    entries = sorted(
        {(item.bucket or UNKNOWN_BUCKET, item.reason[:_REASON_LENGTH]) for item in refused}
    )
    rows = [(*name, bucket, reason, seen_at, seen_at) for bucket, reason in entries]
    upsert(connection, "quarantine", (*KEY, "reason"), _SEEN, rows, keep=_SEEN[:1])


def put_revisions(
    connection: Connection,
    name: tuple[str, str],
    changed: Sequence[tuple[Candle, Candle]],
    revision: int,
    noticed_at: int,
) -> None:
    """Keep what candles were before and after a revision of the series; ascending."""
    rows = [
        (*name, old.bucket, revision, noticed_at, *_values(old), *_values(new))
        for old, new in changed
    ]
    upsert(connection, "candle_revisions", (*KEY, "revision"), ("noticed_at", *_OLD, *_NEW), rows)


def quarantined(series: Series, first: int, last: int, limit: int | None) -> CompoundSelect[Any]:
    """Refused candles of the buckets [first, last] and those without a bucket, newest sight first."""
    known = within(Quarantined, series, first, last)
    unknown = (*is_series(Quarantined, series), Quarantined.bucket == UNKNOWN_BUCKET)
    columns = (Quarantined.bucket, Quarantined.reason, *(getattr(Quarantined, n) for n in _SEEN))
    return (
        select(*columns)
        .where(*known)
        .union(select(*columns).where(*unknown))
        .order_by(Quarantined.last_seen_at.desc(), Quarantined.bucket.desc(), Quarantined.reason)
        .limit(limit)
    )


def as_quarantined(row: Sequence[Any]) -> QuarantinedCandle:
    """A row of `quarantined`."""
    bucket, reason, first_seen_at, last_seen_at = row
    return QuarantinedCandle(
        None if bucket == UNKNOWN_BUCKET else bucket, reason, first_seen_at, last_seen_at
    )


def revisions(series: Series, limit: int) -> Select[Any]:
    """Revised candles, the newest notice first."""
    return (
        select(
            RevisedCandle.bucket,
            RevisedCandle.revision,
            RevisedCandle.noticed_at,
            *(getattr(RevisedCandle, name) for name in (*_OLD, *_NEW)),
        )
        .where(*is_series(RevisedCandle, series))
        .order_by(RevisedCandle.noticed_at.desc(), RevisedCandle.bucket.desc())
        .limit(limit)
    )


def as_revision(row: Sequence[Any]) -> CandleRevision:
    """A row of `revisions`."""
    bucket, revision, noticed_at, *prices = row
    half = len(PRICES)
    return CandleRevision(
        Candle(bucket, *prices[:half]), Candle(bucket, *prices[half:]), revision, noticed_at
    )


def _values(candle: Candle) -> tuple[int, ...]:
    return tuple(getattr(candle, name) for name in PRICES)


Row = tuple[Any, ...]

# SQLite takes 32,766 values a statement, PostgreSQL 65,535; the statement's text is cached, so all
# full blocks of a load share one.
_VALUES_A_STATEMENT: Final = 32_000


def upsert(
    connection: Connection,
    table: str,
    key: Sequence[str],
    values: Sequence[str],
    rows: Sequence[Row],
    *,
    keep: Sequence[str] = (),
) -> None:
    """Insert `rows` (in the order key + values), replacing those whose key exists.

    Columns in `keep` are set when a row is new and left alone when it exists. Rows ascending by key
    are several times faster than shuffled ones. All names are this package's constants.
    """
    updates = ", ".join(f"{name} = excluded.{name}" for name in values if name not in keep)
    conflict = f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {updates}"
    insert(connection, table, [*key, *values], rows, conflict)


def insert(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    conflict: str = "",
) -> None:
    """Insert `rows`; `conflict` is SQL for those that exist, of which there are none otherwise.

    All names are the database's own.
    """
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    one = f"({', '.join([mark] * len(columns))})"
    size = _VALUES_A_STATEMENT // len(columns)
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        connection.exec_driver_sql(
            f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - no input in it
            f"VALUES {', '.join([one] * len(block))}{conflict}",
            tuple(value for row in block for value in row),
        )
