"""What has happened, as frozen values named in the past tense.

Events stay inside their process. What crosses processes is the revision in the database: a server
notices a load that another process committed by the series' new revision, not by an event.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.core.market import Interval, Pair


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened to one series."""

    pair: Pair
    interval: Interval


@dataclass(frozen=True, slots=True)
class CandlesLoaded(Event):
    """Candles were committed: so many new ones and so many revised ones, under a new revision."""

    inserted: int
    revised: int
    newest: int
    revision: int


@dataclass(frozen=True, slots=True)
class AveragesCalculated(Event):
    """The averages of so many buckets were committed with the candles of the same revision."""

    buckets: int
    revision: int


@dataclass(frozen=True, slots=True)
class CandlesRefused(Event):
    """The exchange sent candles that must not be used."""

    count: int


@dataclass(frozen=True, slots=True)
class GapDetected(Event):
    """The monitor found the closed buckets [first, last] missing, for the reason `cause`."""

    first: int
    last: int
    count: int
    cause: str


@dataclass(frozen=True, slots=True)
class LoadFailed(Event):
    """A load ended without its series being loaded."""

    error: str
    reason: str
