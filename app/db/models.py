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
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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


class Base(DeclarativeBase):
    """Names every constraint, so that later migrations can alter them on every database."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )


class StoredSeries(Base):
    """One pair at one interval: its revision, and when it was last current with the exchange."""

    __tablename__ = "series"
    __table_args__ = ({"sqlite_with_rowid": False},)

    pair: Mapped[str] = mapped_column(String(25), primary_key=True)
    interval: Mapped[str] = mapped_column(String(3), primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)
    checked_at: Mapped[int | None] = mapped_column(BigInteger)


class StoredCandle(Base):
    """One closed candle."""

    __tablename__ = "candles"
    __table_args__ = (
        ForeignKeyConstraint(["pair", "interval"], ["series.pair", "series.interval"]),
        {"sqlite_with_rowid": False},
    )

    pair: Mapped[str] = mapped_column(String(25), primary_key=True)
    interval: Mapped[str] = mapped_column(String(3), primary_key=True)
    bucket: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    open: Mapped[int] = mapped_column(FixedPoint)
    high: Mapped[int] = mapped_column(FixedPoint)
    low: Mapped[int] = mapped_column(FixedPoint)
    close: Mapped[int] = mapped_column(FixedPoint)
    volume: Mapped[int | None] = mapped_column(FixedPoint)
    volume_text: Mapped[str | None] = mapped_column(String(_DECIMAL_TEXT))


class StoredAverages(Base):
    """The averages of one candle's bucket; NULL where the window has a missing bucket."""

    __tablename__ = "averages"
    __table_args__ = (
        ForeignKeyConstraint(
            ["pair", "interval", "bucket"],
            ["candles.pair", "candles.interval", "candles.bucket"],
        ),
        {"sqlite_with_rowid": False},
    )

    pair: Mapped[str] = mapped_column(String(25), primary_key=True)
    interval: Mapped[str] = mapped_column(String(3), primary_key=True)
    bucket: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    mms_20: Mapped[int | None] = mapped_column(FixedPoint)
    mms_50: Mapped[int | None] = mapped_column(FixedPoint)
    mms_200: Mapped[int | None] = mapped_column(FixedPoint)


class Absence(Base):
    """A closed bucket without a candle at the exchange, and when that was first and last seen."""

    __tablename__ = "absences"
    __table_args__ = (
        ForeignKeyConstraint(["pair", "interval"], ["series.pair", "series.interval"]),
        {"sqlite_with_rowid": False},
    )

    pair: Mapped[str] = mapped_column(String(25), primary_key=True)
    interval: Mapped[str] = mapped_column(String(3), primary_key=True)
    bucket: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    first_asked_at: Mapped[int] = mapped_column(BigInteger)
    last_asked_at: Mapped[int] = mapped_column(BigInteger)


class StoredLease(Base):
    """The process that does a piece of work now, and when its lease expires unless renewed."""

    __tablename__ = "leases"
    __table_args__ = ({"sqlite_with_rowid": False},)

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    holder: Mapped[str] = mapped_column(String(300))
    expires_at: Mapped[int] = mapped_column(BigInteger)


class CollectedPrice(Base):
    """One spot price from the source: its value, its own time, and when it was collected."""

    __tablename__ = "prices"
    __table_args__ = (
        Index("ix_prices_newest", "symbol", "currency", "id"),
        Index("ix_prices_collected_at", "collected_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"), Identity(), primary_key=True
    )
    symbol: Mapped[str] = mapped_column(String(40))
    currency: Mapped[str] = mapped_column(String(8))
    price: Mapped[int | None] = mapped_column(FixedPoint)
    price_text: Mapped[str | None] = mapped_column(String(_DECIMAL_TEXT))
    priced_at: Mapped[int] = mapped_column(BigInteger)
    collected_at: Mapped[int] = mapped_column(BigInteger)


class Quarantined(Base):
    """A refused candle, or a note on one without a volume; bucket 0: an unreadable stamp."""

    __tablename__ = "quarantine"
    __table_args__ = (
        ForeignKeyConstraint(["pair", "interval"], ["series.pair", "series.interval"]),
        {"sqlite_with_rowid": False},
    )

    pair: Mapped[str] = mapped_column(String(25), primary_key=True)
    interval: Mapped[str] = mapped_column(String(3), primary_key=True)
    bucket: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    reason: Mapped[str] = mapped_column(String(300), primary_key=True)
    first_seen_at: Mapped[int] = mapped_column(BigInteger)
    last_seen_at: Mapped[int] = mapped_column(BigInteger)


class RevisedCandle(Base):
    """A closed candle that the exchange revised: its values before and after."""

    __tablename__ = "candle_revisions"
    __table_args__ = (
        ForeignKeyConstraint(["pair", "interval"], ["series.pair", "series.interval"]),
        Index("ix_candle_revisions_noticed_at", "pair", "interval", "noticed_at"),
        {"sqlite_with_rowid": False},
    )

    pair: Mapped[str] = mapped_column(String(25), primary_key=True)
    interval: Mapped[str] = mapped_column(String(3), primary_key=True)
    bucket: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    noticed_at: Mapped[int] = mapped_column(BigInteger)
    old_open: Mapped[int] = mapped_column(FixedPoint)
    old_high: Mapped[int] = mapped_column(FixedPoint)
    old_low: Mapped[int] = mapped_column(FixedPoint)
    old_close: Mapped[int] = mapped_column(FixedPoint)
    old_volume: Mapped[int | None] = mapped_column(FixedPoint)
    old_volume_text: Mapped[str | None] = mapped_column(String(_DECIMAL_TEXT))
    new_open: Mapped[int] = mapped_column(FixedPoint)
    new_high: Mapped[int] = mapped_column(FixedPoint)
    new_low: Mapped[int] = mapped_column(FixedPoint)
    new_close: Mapped[int] = mapped_column(FixedPoint)
    new_volume: Mapped[int | None] = mapped_column(FixedPoint)
    new_volume_text: Mapped[str | None] = mapped_column(String(_DECIMAL_TEXT))


class StoredRateLimit(Base):
    """A rate limiter's state for one host: no request before `next_at`, nor before `closed_until`.

    Both are unix time in microseconds, so that a rate of many requests a second keeps its spacing.
    """

    __tablename__ = "gates"
    __table_args__ = ({"sqlite_with_rowid": False},)

    host: Mapped[str] = mapped_column(String(300), primary_key=True)
    next_at: Mapped[int] = mapped_column(BigInteger)
    closed_until: Mapped[int] = mapped_column(BigInteger)


class StoredHostClock(Base):
    """A host's clock that seems to stand still: its time, and when that was first seen."""

    __tablename__ = "host_clocks"
    __table_args__ = ({"sqlite_with_rowid": False},)

    host: Mapped[str] = mapped_column(String(300), primary_key=True)
    stamp: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[int] = mapped_column(BigInteger)
