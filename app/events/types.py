"""Events: frozen values named in the past tense.

Events stay inside their process. Only the revision in the database crosses processes: a server
notices another process's load by the series' new revision, not by an event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.core.market import Exact, Series


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened."""


Publish = Callable[[Event], None]
"""Called with each event after its commit. Must not raise."""


@dataclass(frozen=True, slots=True)
class SeriesEvent(Event):
    """Something that has happened to one series."""

    series: Series


@dataclass(frozen=True, slots=True)
class CandlesLoaded(SeriesEvent):
    """Candles were committed under a new revision; `inserted` and `revised` count them.

    `newest` is the newest bucket.
    """

    inserted: int
    revised: int
    newest: int
    revision: int


@dataclass(frozen=True, slots=True)
class AveragesCalculated(SeriesEvent):
    """The averages of `buckets` buckets were committed with the candles of the same revision."""

    buckets: int
    revision: int


@dataclass(frozen=True, slots=True)
class CandleRevised(SeriesEvent):
    """The exchange changed a closed candle: its closes in 1e-8, and the new revision."""

    bucket: int
    old_close: int
    new_close: int
    revision: int


@dataclass(frozen=True, slots=True)
class CandlesRefused(SeriesEvent):
    """The exchange sent `count` candles that must not be used; they are in quarantine."""

    count: int


@dataclass(frozen=True, slots=True)
class GapDetected(SeriesEvent):
    """The monitor found `count` closed buckets missing, in `gaps` gaps from `first` to `last`.

    There is one event per series: a short interval has thousands of gaps. `causes` counts the
    buckets of each cause, as in `absent 3, never-fetched 2`.
    """

    first: int
    last: int
    gaps: int
    count: int
    causes: str


@dataclass(frozen=True, slots=True)
class LoadFailed(SeriesEvent):
    """The load of a series failed."""

    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class PriceCollected(Event):
    """A spot price was stored: in `currency`, with its own time and its collection time.

    `stale` says that the price was too old by its own time. `anomalous` is the verdict, None where
    the price could not be judged.
    """

    symbol: str
    price: Exact
    currency: str
    priced_at: int
    collected_at: int
    stale: bool
    anomalous: bool | None


@dataclass(frozen=True, slots=True)
class PriceRefused(Event):
    """The source returned no usable price for a requested coin."""

    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class AnomalyDetected(Event):
    """The change to a stored price is anomalous; `reason` is a sentence."""

    symbol: str
    price: Exact
    currency: str
    reason: str
