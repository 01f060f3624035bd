"""What a database holds of a series, and whether it is at one with itself.

Nothing here uses the code that wrote it but the connection: sums in Python's integers, rows by SQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import Engine, text

from app.core.market import Series
from app.db.session import for_reading, reading
from app.db.stores.series import SqlSeriesStore
from app.domain.gaps import contradictions

_WHICH: Final = "WHERE pair = :pair AND interval = :interval ORDER BY bucket"
_CANDLES: Final = text(f"SELECT bucket, open, high, low, close, volume FROM candles {_WHICH}")
_AVERAGES: Final = text(f"SELECT bucket, mms_20, mms_50, mms_200 FROM averages {_WHICH}")
_SERIES: Final = text(
    "SELECT revision, checked_at FROM series WHERE pair = :pair AND interval = :interval"
)
_WINDOWS: Final = (20, 50, 200)
_NONE: Final = (None, None, None, None)

Mean = int | None


class Row(NamedTuple):
    """A candle in 1e-8 and its averages; `averages_of` is None where it has no row of them."""

    bucket: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    averages_of: int | None
    mms_20: Mean
    mms_50: Mean
    mms_200: Mean


@dataclass(frozen=True)
class Content:
    """A series as it is stored; `stray` counts averages without a candle."""

    rows: tuple[Row, ...]
    revision: int
    checked_at: int | None
    stray: int

    @property
    def newest(self) -> int | None:
        """The newest bucket with a candle."""
        return self.rows[-1].bucket if self.rows else None

    @property
    def hash(self) -> str:
        """SHA-256 over candles and averages, in the order of their buckets."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(repr(tuple(row)).encode())
        return digest.hexdigest()


def content(engine: Engine, series: Series) -> Content:
    """Everything that is stored of a series."""
    which = {"pair": series.pair.symbol, "interval": series.interval.value}
    with reading(for_reading(engine)) as connection:
        state = connection.execute(_SERIES, which).one_or_none()
        candles = connection.execute(_CANDLES, which).all()
        averages = {row[0]: tuple(row) for row in connection.execute(_AVERAGES, which)}
    rows = tuple(Row(*row, *averages.pop(row[0], _NONE)) for row in candles)
    revision, checked_at = state if state is not None else (0, None)
    return Content(rows, revision, checked_at, len(averages))


def disagreements(stored: Content, step: int) -> list[str]:
    """Where candles, averages and revision contradict one another."""
    troubles = []
    wrong = [
        row.bucket
        for row, means in zip(stored.rows, recomputed(stored.rows, step), strict=True)
        if row[7:] != means or row.averages_of != row.bucket
    ]
    if wrong:
        troubles.append(
            f"{len(wrong)} buckets have other averages than their closes say: {wrong[0]}"
        )
    if stored.stray:
        troubles.append(f"{stored.stray} averages have no candle")
    if bool(stored.revision) != bool(stored.rows):
        troubles.append(f"revision {stored.revision} with {len(stored.rows)} candles")
    return troubles


def contradicted(engine: Engine, series: Series) -> list[str]:
    """The buckets that the product's own check finds wrong."""
    store, ever = SqlSeriesStore(engine), [(0, 2**40)]
    wrong = contradictions(
        0, series.step, store.buckets(series, ever), store.averaged(series, ever)
    )
    return [f"wrong_averages names {len(wrong)} buckets"] if wrong else []


def recomputed(rows: Sequence[Row], step: int) -> list[tuple[Mean, ...]]:
    """The averages that the stored closes lead to, by whole numbers of any length."""
    sums = [0]
    for row in rows:
        sums.append(sums[-1] + row.close)
    averages = []
    for number, row in enumerate(rows, start=1):
        means = []
        for window in _WINDOWS:
            begin = number - window
            # Buckets are unique and on the grid: the window is whole when its ends are as far apart
            # as they must be.
            whole = begin >= 0 and row.bucket - rows[begin].bucket == (window - 1) * step
            means.append(_half_even(sums[number] - sums[begin], window) if whole else None)
        averages.append(tuple(means))
    return averages


def _half_even(total: int, count: int) -> int:
    quotient, rest = divmod(total, count)
    if 2 * rest > count or (2 * rest == count and quotient % 2):
        quotient += 1
    return quotient
