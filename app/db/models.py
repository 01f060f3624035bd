"""The tables as the code uses them. `app/db/migrations` builds them; a test keeps the two equal.

Prices and volumes are BIGINT in 1e-8 (`app.domain.fixed_point`), times are unix seconds UTC, `pair`
is BASE-QUOTE. A volume or spot price that does not fit is NULL there, and its decimal text stands
in the column beside it, whose name ends in `_text`. The rules for a candle are constraints in the
migrations: no other program can store one that the loader would refuse.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
)

_DECIMAL_TEXT: Final = 81
"""The longest text of a number: `fixed_point.DIGITS` on both sides of a point."""


class FixedPoint(TypeDecorator[int]):
    """A whole number of 1e-8 in a BIGINT column; refuses a float or Decimal instead of rounding."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> int | None:  # noqa: ARG002 - theirs
        """Return whole numbers and None unchanged. Raises TypeError for anything else."""
        if value is None or type(value) is int:
            return value
        raise TypeError(f"{value!r} is no fixed-point integer; see app.domain.fixed_point")


METADATA: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)
"""Names every constraint, so that later migrations can alter them on every database."""


SERIES: Final = Table(
    "series",
    METADATA,
    Column("pair", String(25), primary_key=True),
    Column("interval", String(3), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("checked_at", BigInteger),
    Column("first_tried_at", BigInteger),
    sqlite_with_rowid=False,
)
"""One pair at one interval: its revision, and when it was last current with the exchange.

`first_tried_at` is when the first load of it began; NULL where an earlier program loaded it.
"""

CANDLES: Final = Table(
    "candles",
    METADATA,
    Column("pair", String(25), primary_key=True),
    Column("interval", String(3), primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("open", FixedPoint, nullable=False),
    Column("high", FixedPoint, nullable=False),
    Column("low", FixedPoint, nullable=False),
    Column("close", FixedPoint, nullable=False),
    Column("volume", FixedPoint),
    Column("volume_text", String(_DECIMAL_TEXT)),
    ForeignKeyConstraint(["pair", "interval"], ["series.pair", "series.interval"]),
    sqlite_with_rowid=False,
)
"""One closed candle."""

AVERAGES: Final = Table(
    "averages",
    METADATA,
    Column("pair", String(25), primary_key=True),
    Column("interval", String(3), primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("mms_20", FixedPoint),
    Column("mms_50", FixedPoint),
    Column("mms_200", FixedPoint),
    ForeignKeyConstraint(
        ["pair", "interval", "bucket"],
        ["candles.pair", "candles.interval", "candles.bucket"],
    ),
    sqlite_with_rowid=False,
)
"""The averages of one candle's bucket; NULL where the window has a missing bucket."""

ABSENCES: Final = Table(
    "absences",
    METADATA,
    Column("pair", String(25), primary_key=True),
    Column("interval", String(3), primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("first_asked_at", BigInteger, nullable=False),
    Column("last_asked_at", BigInteger, nullable=False),
    ForeignKeyConstraint(["pair", "interval"], ["series.pair", "series.interval"]),
    sqlite_with_rowid=False,
)
"""A closed bucket without a candle at the exchange, and when that was first and last seen."""

LEASES: Final = Table(
    "leases",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("holder", String(300), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The process that does a piece of work now, and when its lease expires unless renewed."""

SPOT_PRICES: Final = Table(
    "prices",
    METADATA,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), Identity(), primary_key=True),
    Column("symbol", String(40), nullable=False),
    Column("currency", String(8), nullable=False),
    Column("price", FixedPoint),
    Column("price_text", String(_DECIMAL_TEXT)),
    Column("priced_at", BigInteger, nullable=False),
    Column("collected_at", BigInteger, nullable=False),
    Index("ix_prices_newest", "symbol", "currency", "id"),
    Index("ix_prices_collected_at", "collected_at"),
    sqlite_autoincrement=True,
)
"""One spot price from the source: its value, its own time, and when it was collected."""

QUARANTINE: Final = Table(
    "quarantine",
    METADATA,
    Column("pair", String(25), primary_key=True),
    Column("interval", String(3), primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("reason", String(300), primary_key=True),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    ForeignKeyConstraint(["pair", "interval"], ["series.pair", "series.interval"]),
    sqlite_with_rowid=False,
)
"""A refused candle, or a note on one without a volume; bucket 0: an unreadable stamp."""

CANDLE_REVISIONS: Final = Table(
    "candle_revisions",
    METADATA,
    Column("pair", String(25), primary_key=True),
    Column("interval", String(3), primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("noticed_at", BigInteger, nullable=False),
    Column("old_open", FixedPoint, nullable=False),
    Column("old_high", FixedPoint, nullable=False),
    Column("old_low", FixedPoint, nullable=False),
    Column("old_close", FixedPoint, nullable=False),
    Column("old_volume", FixedPoint),
    Column("old_volume_text", String(_DECIMAL_TEXT)),
    Column("new_open", FixedPoint, nullable=False),
    Column("new_high", FixedPoint, nullable=False),
    Column("new_low", FixedPoint, nullable=False),
    Column("new_close", FixedPoint, nullable=False),
    Column("new_volume", FixedPoint),
    Column("new_volume_text", String(_DECIMAL_TEXT)),
    ForeignKeyConstraint(["pair", "interval"], ["series.pair", "series.interval"]),
    Index("ix_candle_revisions_noticed_at", "pair", "interval", "noticed_at"),
    sqlite_with_rowid=False,
)
"""A closed candle that the exchange revised: its values before and after."""

RATE_LIMITS: Final = Table(
    "gates",
    METADATA,
    Column("host", String(300), primary_key=True),
    Column("next_at", BigInteger, nullable=False),
    Column("closed_until", BigInteger, nullable=False),
    Column("month", Integer),
    Column("calls", BigInteger),
    sqlite_with_rowid=False,
)
"""A rate limiter's state for one host: no request before `next_at`, nor before `closed_until`.

Both are unix time in microseconds, so that a rate of many requests a second keeps its spacing.
`calls` is how many requests went out in the calendar month `month` (202402, UTC).
"""

HOST_CLOCKS: Final = Table(
    "host_clocks",
    METADATA,
    Column("host", String(300), primary_key=True),
    Column("stamp", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""A host's clock that seems to stand still: its time, and when that was first seen."""

VIEWS: Final = ("v_candles", "v_averages", "v_prices")
"""The views of the last migration, for people's SQL: no program of ours reads one."""
