"""The statements that the stores share; each select is on one series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Connection,
    FromClause,
    Select,
    Table,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
)

from app.core.market import (
    EMPTY_SERIES,
    NOTES,
    WINDOWS,
    Candle,
    CandleRevision,
    QuarantinedCandle,
    RefusedCandle,
    Series,
    SeriesState,
    SeriesVersion,
    VolumeNote,
    Window,
)
from app.db.models import (
    ABSENCES,
    AVERAGES,
    CANDLE_REVISIONS,
    CANDLES,
    QUARANTINE,
    SERIES,
)
from app.db.stores import exact
from app.domain.times import LATEST, stored_time

KEY: Final = ("pair", "interval", "bucket")
PRICES: Final = ("open", "high", "low", "close", "volume", "volume_text")
MEANS: Final = tuple(f"mms_{window}" for window in WINDOWS)

STATE_WIDTH: Final = 5
"""The number of columns in `state_columns`."""

_MEAN: Final = {window: AVERAGES.c[name] for window, name in zip(WINDOWS, MEANS, strict=True)}

_SAME_BUCKET: Final = and_(*(AVERAGES.c[name] == CANDLES.c[name] for name in KEY))
"""Joins the averages of a bucket to its candle."""


def is_series(table: Table, series: Series) -> tuple[ColumnElement[bool], ...]:
    """The conditions that pick one series' rows."""
    return table.c.pair == series.pair.symbol, table.c.interval == series.interval.value


def within(table: Table, series: Series, first: int, last: int) -> tuple[ColumnElement[bool], ...]:
    """The conditions that pick one series' rows of the buckets [first, last]."""
    return (*is_series(table, series), table.c.bucket >= first, table.c.bucket <= last)


def within_any(
    table: Table, series: Series, spans: Sequence[tuple[int, int]]
) -> ColumnElement[bool]:
    """The condition that picks one series' rows of the buckets in any [first, last] of `spans`.

    Each is a range of the primary key, but on SQLite only because each names the series.
    """
    return or_(false(), *(and_(*within(table, series, *span)) for span in spans))


def candles(series: Series, spans: Sequence[tuple[int, int]], *columns: str) -> Select[Any]:
    """These columns of the candles in any [first, last] of `spans`, ascending."""
    return (
        select(*(CANDLES.c[name] for name in columns))
        .where(within_any(CANDLES, series, spans))
        .order_by(CANDLES.c.bucket)
    )


def state_columns(series: Series) -> tuple[Any, ...]:
    """The columns of SeriesState, in its order; first and last come from the key's two ends."""
    stored = is_series(CANDLES, series)
    return (
        SERIES.c.revision,
        select(func.min(CANDLES.c.bucket)).where(*stored).scalar_subquery(),
        select(func.max(CANDLES.c.bucket)).where(*stored).scalar_subquery(),
        SERIES.c.checked_at,
        SERIES.c.first_tried_at,
    )


def read_state(connection: Connection, series: Series) -> SeriesState:
    """The state of the series; EMPTY_SERIES before its first load."""
    query = select(*state_columns(series)).where(*is_series(SERIES, series))
    return state_of(connection.execute(query).all())


def state_of(rows: Sequence[Sequence[Any]]) -> SeriesState:
    """The state that rows beginning with `state_columns` belong to; EMPTY_SERIES without a row."""
    if not rows:
        return EMPTY_SERIES
    revision, first, last, checked_at, first_tried_at = rows[0][:STATE_WIDTH]
    return SeriesState(revision, first, last, stored_time(checked_at), stored_time(first_tried_at))


def marks() -> Select[Any]:
    """Pair and interval of every series, and the columns of Mark."""
    return select(SERIES.c.pair, SERIES.c.interval, SERIES.c.revision, SERIES.c.checked_at)


def version(series: Series) -> Select[Any]:
    """The columns of SeriesVersion, those of SeriesState first; no row before the first load."""
    records = [
        select(number).where(*is_series(table, series)).scalar_subquery()
        for table, last in ((ABSENCES, "last_asked_at"), (QUARANTINE, "last_seen_at"))
        for number in (func.count(), cast(func.coalesce(func.sum(table.c[last]), 0), BigInteger))
    ]
    return select(*state_columns(series), *records).where(*is_series(SERIES, series))


def version_of(rows: Sequence[Sequence[Any]]) -> SeriesVersion:
    """The version in the rows of `version`."""
    records = tuple(rows[0][STATE_WIDTH:]) if rows else (0, 0, 0, 0)
    return SeriesVersion(state_of(rows), records[:2], records[2:])


def candles_with_averages(
    series: Series, first: int, last: int, limit: int | None = None, *, descending: bool = False
) -> Select[Any]:
    """State, candle and averages in one statement, so that all come from one snapshot.

    At most `limit` candles, the first ones in the order of their buckets, which `descending`
    reverses. Gives one row with only the state where the series has no candle in [first, last].
    """
    rows, join = _rows(CANDLES, within(CANDLES, series, first, last), limit, descending)
    same_bucket = and_(*(AVERAGES.c[name] == rows.c[name] for name in KEY))
    return (
        select(
            *state_columns(series),
            *(rows.c[name] for name in ("bucket", *PRICES)),
            *_MEAN.values(),
        )
        .select_from(SERIES)
        .outerjoin(rows, join)
        .outerjoin(AVERAGES, same_bucket)
        .where(*is_series(SERIES, series))
        .order_by(_in_order(rows, descending))
    )


def means(
    series: Series,
    window: Window,
    first: int,
    last: int,
    limit: int | None = None,
    *,
    descending: bool = False,
) -> Select[Any]:
    """State, bucket and average in one statement; one row with only the state if none exists.

    `limit` and `descending` are those of `candles_with_averages`.
    """
    mean = _MEAN[window]
    exist = (*within(AVERAGES, series, first, last), mean.is_not(None))
    rows, join = _rows(AVERAGES, exist, limit, descending)
    return (
        select(*state_columns(series), rows.c.bucket, rows.c[mean.name])
        .select_from(SERIES)
        .outerjoin(rows, join)
        .where(*is_series(SERIES, series))
        .order_by(_in_order(rows, descending))
    )


def _rows(
    table: Table, which: Sequence[ColumnElement[bool]], limit: int | None, descending: bool
) -> tuple[FromClause, ColumnElement[bool]]:
    """The rows of one series that `which` picks, and how they are joined to its state.

    Only with a limit are they a query of their own: the planners need not see through one then.
    """
    if limit is None:
        return table, and_(*which)
    part = select(table).where(*which).order_by(_in_order(table, descending)).limit(limit)
    return part.subquery(), true()


def _in_order(rows: FromClause, descending: bool) -> ColumnElement[Any]:
    return rows.c.bucket.desc() if descending else rows.c.bucket.asc()


def are_times(*columns: ColumnElement[int]) -> Iterator[ColumnElement[bool]]:
    """Conditions that leave out a row with a time that no date can name: something else wrote it.

    SQLite's text, which is beyond every number, is left out as well.
    """
    return (column.between(0, LATEST) for column in columns)


def absences(series: Series, first: int, last: int) -> Select[int, int, int]:
    """The columns of Absent for [first, last], ascending."""
    times = ABSENCES.c.first_asked_at, ABSENCES.c.last_asked_at
    return (
        select(ABSENCES.c.bucket, *times)
        .where(*within(ABSENCES, series, first, last), *are_times(*times))
        .order_by(ABSENCES.c.bucket)
    )


def extent(series: Series, first: int, last: int) -> Select[int, int, int]:
    """The number of candles of [first, last], and the first and last bucket that has one."""
    bucket = CANDLES.c.bucket
    return select(func.count(), func.min(bucket), func.max(bucket)).where(
        *within(CANDLES, series, first, last)
    )


def settled(series: Series, first: int, last: int) -> Select[int]:
    """The number of buckets of [first, last] with a candle or a noted absence; none has both."""
    counts = [
        select(func.count()).where(*within(table, series, first, last)).scalar_subquery()
        for table in (CANDLES, ABSENCES)
    ]
    return select(counts[0] + counts[1])


def orphans(series: Series, first: int, last: int) -> tuple[Any, ...]:
    """The conditions that pick the averages of [first, last] without a candle.

    The schema forbids them, but SQLite enforces foreign keys only for programs that turn them on.
    """
    return *within(AVERAGES, series, first, last), not_(exists().where(_SAME_BUCKET))


def stretches(series: Series, first: int, last: int, size: int) -> Select[int, int, int]:
    """The first bucket of each `size` buckets of [first, last], and what is counted in them.

    That is the number of candles, and of buckets with every average. Each count is a range of the
    primary key: GROUP BY would sort all rows on SQLite, and takes longer on PostgreSQL as well.
    """
    reach = size * series.step
    begin = select(cast(first, BigInteger).label("first")).cte("stretches", recursive=True)
    following = begin.c.first + reach
    stretch = begin.union_all(select(following).where(following <= last)).c.first
    # One upper bound: of two, SQLite might take the further one for the range.
    end = case(
        (stretch + (reach - series.step) < last, stretch + (reach - series.step)), else_=last
    )
    candles, averages = (
        select(func.count()).where(*is_series(table, series), table.c.bucket.between(stretch, end))
        for table in (CANDLES, AVERAGES)
    )
    every = averages.where(*(mean.is_not(None) for mean in _MEAN.values()))
    numbers = candles.scalar_subquery(), every.scalar_subquery()
    return select(stretch, *numbers).order_by(stretch)


def averaged(series: Series, spans: Sequence[tuple[int, int]]) -> Select[int, int]:
    """The buckets of `spans` with a row of averages, ascending, and which it has, as bits."""
    which = [case((mean.is_not(None), 1 << n), else_=0) for n, mean in enumerate(_MEAN.values())]
    return (
        select(AVERAGES.c.bucket, sum(which[1:], which[0]))
        .where(within_any(AVERAGES, series, spans))
        .order_by(AVERAGES.c.bucket)
    )


UNKNOWN_BUCKET: Final = 0
"""Stands for the bucket of a candle with an unreadable stamp."""

_SEEN: Final = ("first_seen_at", "last_seen_at")
_REASON_LENGTH: Final = 300
_OLD: Final = tuple(f"old_{name}" for name in PRICES)
_NEW: Final = tuple(f"new_{name}" for name in PRICES)


def put_quarantined(
    connection: Connection,
    name: tuple[str, str],
    items: Sequence[RefusedCandle | VolumeNote],
    seen_at: int,
) -> None:
    """Store refusals and notes of the series `name` (pair, interval), each once per bucket."""
    entries = sorted(
        {(item.bucket or UNKNOWN_BUCKET, item.reason[:_REASON_LENGTH]) for item in items}
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
    """Store (old, new) of revised candles of the series `name`, ascending."""
    rows = [
        (*name, old.bucket, revision, noticed_at, *values_of(old), *values_of(new))
        for old, new in changed
    ]
    upsert(connection, "candle_revisions", (*KEY, "revision"), ("noticed_at", *_OLD, *_NEW), rows)


def quarantined(
    series: Series, first: int, last: int, limit: int | None, *, notes: bool
) -> CompoundSelect[Any]:
    """Refusals of [first, last] and those without a bucket, and notes, last seen first."""
    dated = within(QUARANTINE, series, first, last)
    if not notes:
        dated += tuple(not_(QUARANTINE.c.reason.startswith(start)) for start in NOTES)
    undated = (*is_series(QUARANTINE, series), QUARANTINE.c.bucket == UNKNOWN_BUCKET)
    columns = (QUARANTINE.c.bucket, QUARANTINE.c.reason, *(QUARANTINE.c[n] for n in _SEEN))
    return (
        select(*columns)
        .where(*dated)
        .union(select(*columns).where(*undated))
        .order_by(QUARANTINE.c.last_seen_at.desc(), QUARANTINE.c.bucket.desc(), QUARANTINE.c.reason)
        .limit(limit)
    )


def as_quarantined(row: Sequence[Any]) -> QuarantinedCandle:
    """The value of a row of `quarantined`."""
    bucket, reason, first_seen_at, last_seen_at = row
    return QuarantinedCandle(
        None if bucket == UNKNOWN_BUCKET else bucket, reason, first_seen_at, last_seen_at
    )


def revisions(series: Series, limit: int) -> Select[Any]:
    """Revised candles, most recently noticed first."""
    return (
        select(
            CANDLE_REVISIONS.c.bucket,
            CANDLE_REVISIONS.c.revision,
            CANDLE_REVISIONS.c.noticed_at,
            *(CANDLE_REVISIONS.c[name] for name in (*_OLD, *_NEW)),
        )
        .where(*is_series(CANDLE_REVISIONS, series))
        .order_by(CANDLE_REVISIONS.c.noticed_at.desc(), CANDLE_REVISIONS.c.bucket.desc())
        .limit(limit)
    )


def as_revision(row: Sequence[Any]) -> CandleRevision:
    """The value of a row of `revisions`."""
    bucket, revision, noticed_at, *prices = row
    half = len(PRICES)
    old, new = as_candle(bucket, *prices[:half]), as_candle(bucket, *prices[half:])
    return CandleRevision(old, new, revision, noticed_at)


def as_candle(
    bucket: int,
    opened: int,
    high: int,
    low: int,
    close: int,
    volume: int | None,
    volume_text: str | None,
) -> Candle:
    """The candle of a row: its bucket, and the columns PRICES."""
    return Candle(bucket, opened, high, low, close, exact.value(volume, volume_text))


def values_of(candle: Candle) -> tuple[int | str | None, ...]:
    """The candle's columns PRICES."""
    return (candle.open, candle.high, candle.low, candle.close, *exact.columns(candle.volume))


Row = tuple[Any, ...]

# SQLite accepts 32,766 values per statement, PostgreSQL 65,535. All full blocks of a load have the
# same statement text, which is cached.
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

    Columns in `keep` are set in new rows and left alone in existing ones. Rows ascending by key are
    several times faster than shuffled ones. All names are this package's constants.
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
    """Insert `rows`. `conflict` is SQL for rows that exist; without it there must be none.

    All names come from the database or from constants, never from input.
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
