"""What has happened, as frozen values named in the past tense.

Events stay inside their process. What crosses processes is the revision in the database: a server
notices a load that another process committed by the series' new revision, not by an event.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.core.market import Series


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened."""


@dataclass(frozen=True, slots=True)
class SeriesEvent(Event):
    """Something that has happened to one series."""

    series: Series


@dataclass(frozen=True, slots=True)
class CandlesLoaded(SeriesEvent):
    """Candles were committed: so many new ones and so many revised ones, under a new revision."""

    inserted: int
    revised: int
    newest: int
    revision: int


@dataclass(frozen=True, slots=True)
class AveragesCalculated(SeriesEvent):
    """The averages of so many buckets were committed with the candles of the same revision."""

    buckets: int
    revision: int


@dataclass(frozen=True, slots=True)
class CandleRevised(SeriesEvent):
    """The exchange changed a closed candle; both closes in 1e-8, under a new revision."""

    bucket: int
    old_close: int
    new_close: int
    revision: int


@dataclass(frozen=True, slots=True)
class CandlesRefused(SeriesEvent):
    """The exchange sent candles that must not be used; they are in quarantine."""

    count: int


@dataclass(frozen=True, slots=True)
class GapDetected(SeriesEvent):
    """The monitor found `count` closed buckets missing: so many `gaps`, from `first` to `last`.

    One event a series: a short interval has thousands of gaps. `causes` counts the buckets of each
    cause, as in `absent 3, never-fetched 2`.
    """

    first: int
    last: int
    gaps: int
    count: int
    causes: str


@dataclass(frozen=True, slots=True)
class LoadFailed(SeriesEvent):
    """A load ended without its series being loaded."""

    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class PriceCollected(Event):
    """A spot price was stored: in 1e-8 of `currency`, with its own time and that of its collection.

    `stale` says that it was too old by its own time, `anomalous` how it was judged: None where it
    could not be.
    """

    symbol: str
    price: int
    currency: str
    priced_at: int
    collected_at: int
    stale: bool
    anomalous: bool | None


@dataclass(frozen=True, slots=True)
class PriceRefused(Event):
    """The source gave no usable price for a coin that it was asked for."""

    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class AnomalyDetected(Event):
    """A stored price (in 1e-8) changed beyond what is normal, for the reason given."""

    symbol: str
    price: int
    currency: str
    reason: str
