"""The selects that reads and writes share, on one series each."""

from __future__ import annotations

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

from app.core.market import EMPTY_SERIES, WINDOWS, Interval, Pair, SeriesState, Window
from app.db.models import Absence, Series, StoredAverages, StoredCandle

KEY: Final = ("pair", "interval", "bucket")
PRICES: Final = ("open", "high", "low", "close", "volume")
MEANS: Final = tuple(f"mms_{window}" for window in WINDOWS)

STATE_WIDTH: Final = 4
"""How many columns of a row `state_columns` takes."""

_MEAN: Final = {
    window: getattr(StoredAverages, name) for window, name in zip(WINDOWS, MEANS, strict=True)
}


def is_series(table: Any, pair: Pair, interval: Interval) -> tuple[ColumnElement[bool], ...]:
    """The conditions that pick one series' rows."""
    return table.pair == pair.symbol, table.interval == interval.value


def within(
    table: Any, pair: Pair, interval: Interval, first: int, last: int
) -> tuple[ColumnElement[bool], ...]:
    """The conditions that pick one series' rows of the buckets [first, last]."""
    return (*is_series(table, pair, interval), table.bucket >= first, table.bucket <= last)


def candles(pair: Pair, interval: Interval, first: int, last: int, *columns: str) -> Select[Any]:
    """These columns of the candles of [first, last], ascending."""
    return (
        select(*(getattr(StoredCandle, name) for name in columns))
        .where(*within(StoredCandle, pair, interval, first, last))
        .order_by(StoredCandle.bucket)
    )


def state_columns(pair: Pair, interval: Interval) -> tuple[Any, ...]:
    """The columns of SeriesState, in its order; oldest and newest come from the key's two ends."""
    stored = is_series(StoredCandle, pair, interval)
    return (
        Series.revision,
        select(func.min(StoredCandle.bucket)).where(*stored).scalar_subquery(),
        select(func.max(StoredCandle.bucket)).where(*stored).scalar_subquery(),
        Series.checked_at,
    )


def read_state(connection: Connection, pair: Pair, interval: Interval) -> SeriesState:
    """What is known of the series; EMPTY_SERIES where it was never loaded."""
    wanted = select(*state_columns(pair, interval)).where(*is_series(Series, pair, interval))
    row = connection.execute(wanted).one_or_none()
    return SeriesState(*row) if row is not None else EMPTY_SERIES


def candles_with_averages(pair: Pair, interval: Interval, first: int, last: int) -> Select[Any]:
    """State, candle and averages in one statement, so that all are of one snapshot.

    One row with only the state where the series has no candle in [first, last].
    """
    same = and_(
        *(getattr(StoredAverages, name) == getattr(StoredCandle, name) for name in KEY),
    )
    return (
        select(
            *state_columns(pair, interval),
            *(getattr(StoredCandle, name) for name in ("bucket", *PRICES)),
            *_MEAN.values(),
        )
        .select_from(Series)
        .outerjoin(StoredCandle, and_(*within(StoredCandle, pair, interval, first, last)))
        .outerjoin(StoredAverages, same)
        .where(*is_series(Series, pair, interval))
        .order_by(StoredCandle.bucket)
    )


def means(pair: Pair, interval: Interval, window: Window, first: int, last: int) -> Select[Any]:
    """State, bucket and average in one statement; one row with only the state where none exists."""
    mean = _MEAN[window]
    rows = and_(*within(StoredAverages, pair, interval, first, last), mean.is_not(None))
    return (
        select(*state_columns(pair, interval), StoredAverages.bucket, mean)
        .select_from(Series)
        .outerjoin(StoredAverages, rows)
        .where(*is_series(Series, pair, interval))
        .order_by(StoredAverages.bucket)
    )


def absences(pair: Pair, interval: Interval, first: int, last: int) -> Select[int, int, int]:
    """The columns of Absent for [first, last], ascending."""
    return (
        select(Absence.bucket, Absence.first_asked_at, Absence.last_asked_at)
        .where(*within(Absence, pair, interval, first, last))
        .order_by(Absence.bucket)
    )


def settled(pair: Pair, interval: Interval, first: int, last: int) -> Select[int]:
    """How many buckets of [first, last] have a candle or are noted as absent; none has both."""
    counts = [
        select(func.count()).where(*within(table, pair, interval, first, last)).scalar_subquery()
        for table in (StoredCandle, Absence)
    ]
    return select(counts[0] + counts[1])


def orphans(pair: Pair, interval: Interval, first: int, last: int) -> tuple[Any, ...]:
    """The conditions that pick the averages of [first, last] whose candle is gone.

    The schema forbids them, but SQLite holds a program to its foreign keys only where that program
    asks for it.
    """
    same = (getattr(StoredCandle, name) == getattr(StoredAverages, name) for name in KEY)
    return *within(StoredAverages, pair, interval, first, last), not_(exists().where(*same))


def wrong_averages(pair: Pair, interval: Interval, first: int, last: int) -> CompoundSelect[Any]:
    """The buckets of [first, last] where an average is absent that should exist, or the reverse.

    Rows are unique and ascending on the grid, so the window of N buckets that ends at a row is whole
    exactly when the row N - 1 before it lies N - 1 steps back.
    """
    step = interval.seconds
    bucket = StoredCandle.bucket
    back = {n: func.lag(bucket, n - 1).over(order_by=bucket).label(f"back_{n}") for n in WINDOWS}
    same = and_(*(getattr(StoredAverages, name) == getattr(StoredCandle, name) for name in KEY))
    rows = (
        select(bucket, *_MEAN.values(), *back.values())
        .outerjoin(StoredAverages, same)
        .where(*within(StoredCandle, pair, interval, first - (WINDOWS[-1] - 1) * step, last))
        .subquery()
    )
    wrong = []
    for window in WINDOWS:
        mean = rows.c[f"mms_{window}"]
        start = rows.c.bucket - (window - 1) * step
        whole = func.coalesce(rows.c[f"back_{window}"] == start, false())
        wrong += [and_(mean.is_(None), whole), and_(mean.is_not(None), not_(whole))]
    contradicting = select(rows.c.bucket).where(rows.c.bucket >= first, or_(*wrong))
    lost = select(StoredAverages.bucket).where(*orphans(pair, interval, first, last))
    return contradicting.union_all(lost).order_by("bucket")
