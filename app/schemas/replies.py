"""The replies on the wire, as /docs shows them.

Series are rendered straight to bytes (`app.domain.rendering`); their models here only describe them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Reply(BaseModel):
    """What every reply has in common: it is made once and not changed."""

    model_config = ConfigDict(frozen=True)


class AveragePoint(Reply):
    """The average that ends with one bucket."""

    timestamp: int = Field(description="Start of the bucket, unix seconds, UTC.")
    mms: float = Field(
        description="Mean of the last `range` closes, rounded half to even at 8 places."
    )


class CandlePoint(Reply):
    """One closed candle; `mms_20`, `mms_50`, `mms_200` only where `windows` asks for them."""

    timestamp: int = Field(description="Start of the bucket, unix seconds, UTC.")
    open: float
    high: float
    low: float
    close: float
    volume: float = Field(description="Traded amount of the base currency.")
    mms_20: float | None = Field(default=None, description="Null where it does not exist.")
    mms_50: float | None = Field(default=None, description="Null where it does not exist.")
    mms_200: float | None = Field(default=None, description="Null where it does not exist.")


class SeriesStatus(Reply):
    """One served series: a pair at an interval."""

    pair: str = Field(description="QUOTE+BASE, as in the addresses.")
    symbol: str = Field(description="BASE-QUOTE, as at the exchange; addresses take it, too.")
    interval: str
    windows: tuple[int, ...] = Field(description="What `range` may be.")
    first: str | None = Field(description="Oldest candle stored of the served period.")
    last: str | None = Field(description="Newest candle stored of the served period.")
    expected: int = Field(description="Closed buckets in the served period.")
    stored: int = Field(description="How many of them have a candle.")
    missing: int = Field(description="How many of them have none.")
    warm_up_missing: int = Field(
        description="How many of the 199 buckets before them, which the first averages need, have none."
    )
    stale: bool = Field(description="The exchange has had a newer closed bucket for too long.")
    as_of: str | None = Field(description="Newest stored bucket of the series.")
    checked_at: str | None = Field(description="Last load that reached the exchange.")
    message: str | None = Field(default=None, description="What to do where nothing is stored.")


class Pairs(Reply):
    """Every served series."""

    pairs: tuple[SeriesStatus, ...]


class GapRange(Reply):
    """A run of missing buckets with one cause."""

    first: str
    last: str
    count: int = Field(description="How many buckets.")
    cause: Literal["never-fetched", "refused", "absent", "confirmed-absent"]
    warm_up: bool = Field(
        description="They lie before the served period, whose first averages lack them."
    )


class Gaps(Reply):
    """What is missing of one served series."""

    pair: str
    symbol: str
    interval: str
    first: str = Field(description="First bucket of the served period.")
    last: str = Field(description="Its last closed bucket.")
    expected: int = Field(description="Closed buckets in the served period.")
    stored: int
    missing: int = Field(description="Served buckets without a candle.")
    warm_up_missing: int = Field(
        description="Of the 199 buckets before them, which the first averages need, those without one."
    )
    complete: bool = Field(description="Nothing needs doing: what is missing is confirmed absent.")
    stale: bool = Field(description="The exchange has had a newer closed bucket for too long.")
    as_of: str | None = Field(description="Newest stored bucket of the series.")
    age_seconds: int | None = Field(description="Seconds since that bucket closed.")
    checked_at: str | None = Field(description="Last load that reached the exchange.")
    checked_age_seconds: int | None = Field(description="Seconds since that load.")
    gaps: tuple[GapRange, ...]
    quarantined: int = Field(description="Refusals on record; see /{pair}/quarantine.")
    wrong_averages: tuple[tuple[str, str], ...] = Field(
        description="First and last bucket of runs whose averages contradict the candles."
    )


class Quarantined(Reply):
    """A candle that was refused."""

    timestamp: int | None = Field(description="Start of the bucket; null where it is not known.")
    reason: str
    first_seen: int = Field(description="Unix seconds, UTC.")
    last_seen: int = Field(description="Unix seconds, UTC.")


class Revised(Reply):
    """A closed candle before and after the exchange changed it."""

    timestamp: int = Field(description="Start of the bucket, unix seconds, UTC.")
    noticed: int = Field(description="When it was noticed, unix seconds, UTC.")
    revision: str = Field(description="The series' revision that brought the change.")
    old_open: float
    old_high: float
    old_low: float
    old_close: float
    old_volume: float
    new_open: float
    new_high: float
    new_low: float
    new_close: float
    new_volume: float


class Health(Reply):
    """Whether the service works."""

    status: Literal["ok", "degraded", "unavailable"] = Field(
        description="`degraded`: a cache is away; reads are slower and still right."
    )
    database: Literal["ok", "unavailable"] = Field(description="Whether it answers reads.")
    cache: Literal["ok", "degraded"]


class Alive(Reply):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(Reply):
    """Whether requests should be sent here."""

    status: Literal["ready", "unavailable"]
    data: Literal["present", "empty"] | None = None
    cache: Literal["ok", "degraded"] | None = None
    message: str | None = None


class Problem(Reply):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="`urn:mms-api:error:` and the code.")
    title: str = Field(description="What the code means, always the same words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong here, and what is allowed or what to do.")
    code: str = Field(description="The kind of error, for programs.")
    request_id: str = Field(description="The request's id, also in X-Request-ID and in the log.")
