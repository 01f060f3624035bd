"""What happened to candles besides being stored: refused ones, and revised ones as they were before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import CompoundSelect, Connection, Select, select

from app.core.market import (
    Candle,
    CandleRevision,
    Interval,
    Pair,
    QuarantinedCandle,
    RefusedCandle,
)
from app.db.models import Quarantined, RevisedCandle
from app.db.queries import KEY, PRICES, is_series, within
from app.db.writes import upsert

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
    found = sorted(
        {(item.bucket or UNKNOWN_BUCKET, item.reason[:_REASON_LENGTH]) for item in refused}
    )
    rows = [(*name, bucket, reason, seen_at, seen_at) for bucket, reason in found]
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


def quarantined(
    pair: Pair, interval: Interval, first: int, last: int, limit: int | None
) -> CompoundSelect[Any]:
    """Refused candles of the buckets [first, last] and those without a bucket, newest sight first."""
    known = within(Quarantined, pair, interval, first, last)
    unknown = (*is_series(Quarantined, pair, interval), Quarantined.bucket == UNKNOWN_BUCKET)
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


def revisions(pair: Pair, interval: Interval, limit: int) -> Select[Any]:
    """Revised candles, the newest notice first."""
    return (
        select(
            RevisedCandle.bucket,
            RevisedCandle.revision,
            RevisedCandle.noticed_at,
            *(getattr(RevisedCandle, name) for name in (*_OLD, *_NEW)),
        )
        .where(*is_series(RevisedCandle, pair, interval))
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
