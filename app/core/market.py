"""The values of the market: pairs, intervals, windows, candles, and a series' state.

All values are frozen. Prices are fixed point: whole multiples of 1e-8 in a 64-bit integer
(`app.domain.fixed_point`). Times are unix seconds, UTC. A bucket is named by its start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from app.core import names
from app.core.errors import UnsupportedInterval, UnsupportedPair

Exact = int | str
"""A decimal number without a tick, kept exactly.

An int in 1e-8 where it is a whole multiple of that and fits in 64 bits, else its plain decimal text
as `app.domain.fixed_point.kept` writes it. So equal numbers are equal values.
"""

Window = int
WINDOWS: Final[tuple[Window, ...]] = (20, 50, 200)
"""The averaging windows, in buckets, ascending. Their averages are computed and stored."""

WARM_UP: Final = WINDOWS[-1] - 1
"""Buckets before the first served one, which its longest average needs."""

DAY: Final = 86_400

OLDEST_BUCKET: Final = 1_293_840_000
"""2011-01-01. No exchange that we read traded before; an older stamp is a mistake."""

FIRST_FINER_STAMP: Final = 100_000_000_000
"""The year 5138 in seconds, 1973 in milliseconds: no stamp from here on means seconds."""

MAX_PRICE: Final = (2**63 - 1) // WINDOWS[-1]
"""The highest price, in 1e-8, whose longest window sum still fits in a signed 64-bit integer."""

# Currencies that the legacy QUOTE+BASE spelling may start with. The longest come first, so that
# USDT is not read as USD + T….
_QUOTES: Final = ("USDT", "USDC", "BRL", "USD", "EUR", "BTC")

_RANKS: Final = {"BRL": 0, "USD": 0, "EUR": 0, "USDT": 1, "USDC": 1, "BTC": 2}
"""Of two quote currencies the one of the lower rank prices the other: BTC has a price in BRL."""

_SEPARATORS: Final = re.compile("[-_/: ]")


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A traded pair: `base` priced in `quote`, as in BTC (base) in BRL (quote)."""

    base: str
    quote: str

    @property
    def symbol(self) -> str:
        """BASE-QUOTE, the exchange's v4 spelling and the key in the database: `BTC-BRL`."""
        return f"{self.base}-{self.quote}"

    @property
    def legacy(self) -> str:
        """QUOTE+BASE, the older spelling, used in our URLs: `BRLBTC`."""
        return f"{self.quote}{self.base}"

    def __str__(self) -> str:
        return self.legacy

    @classmethod
    def parse(cls, text: str) -> Pair:
        """Read `BTC-BRL` or `BRLBTC`, any case.

        Raises UnsupportedPair where the text is neither; it asks for what the text may mean. Does
        not check whether the pair is served.
        """
        name = names.cased(text.strip())
        base, hyphen, quote = name.rpartition("-")
        if not hyphen:
            quote = next((q for q in _QUOTES if name.startswith(q) and name != q), "")
            base = name.removeprefix(quote)
            # BTC_BRL, BTC BRL and BTCBRL: see `meant`.
            if base.startswith("_") or _reversed(base.strip(), quote):
                base = ""
        problem = "is not a trading pair"
        try:
            pair = cls(names.currency(base), names.currency(quote))
            if base and quote and pair.base != pair.quote:
                return pair
        except names.UnusableName as error:
            if base and quote:
                problem = str(error)
        meant = cls.meant(text)
        hint = "write" if meant is None else f"did you mean {meant} (or {meant.symbol})? Write"
        raise UnsupportedPair(
            f"{text!r} {problem}: {hint} BASE-QUOTE such as BTC-BRL, or QUOTE+BASE such as BRLBTC."
        )

    @classmethod
    def meant(cls, text: str) -> Pair | None:
        """The pair that `BTCBRL`, `BTC/BRL` or `BTC_BRL` means, none of which `parse` reads."""
        name = names.cased(text.strip())
        parts = _SEPARATORS.split(name)
        if len(parts) == 1:
            quote = next((q for q in _QUOTES if name.endswith(q)), "")
            parts = [name.removesuffix(quote), quote]
        if len(parts) != 2 or parts[0] == parts[1]:
            return None
        base, quote = reversed(parts) if _reversed(*parts) else parts
        try:
            return cls(names.currency(base), names.currency(quote))
        except names.UnusableName:
            return None


def _reversed(base: str, quote: str) -> bool:
    """Whether both price other currencies, and `base` is the one that would price `quote`."""
    return base in _RANKS and quote in _RANKS and _RANKS[base] < _RANKS[quote]


class Interval(Enum):
    """The length of a candle. Buckets start at whole multiples of it since 1970-01-01 UTC.

    The value is the name in Mercado Bitcoin's `resolution`. `1w` and `1M` are left out until their
    grid is verified.
    """

    MINUTE = "1m", 60
    QUARTER = "15m", 900
    HOUR = "1h", 3_600
    THREE_HOURS = "3h", 10_800
    DAY = "1d", DAY

    seconds: int
    """Length in seconds."""

    # The default is for the type checker alone: a look-up, Interval("1m"), gives no length.
    def __new__(cls, name: str, seconds: int = 0) -> Interval:
        """Make a member; its length is a plain attribute, because every read asks for it often."""
        member = object.__new__(cls)
        member._value_ = name
        member.seconds = seconds
        return member

    def __str__(self) -> str:
        return str(self.value)

    # Each member is one object, and a read looks several times for what belongs to an interval.
    __hash__ = object.__hash__

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Read `1m`, `15m`, `1h`, `3h` or `1d`. Raises UnsupportedInterval."""
        try:
            return cls(text.strip())
        except ValueError:
            allowed = ", ".join(item.value for item in cls)
            raise UnsupportedInterval(
                f"{text!r} is not a supported interval: use one of {allowed}."
            ) from None

    def floor(self, at: float) -> int:
        """The start of the bucket that contains the unix time `at`."""
        return int(at // self.seconds) * self.seconds

    def ceil(self, at: float) -> int:
        """The first bucket start at or after the unix time `at`."""
        return -self.floor(-at)

    def last_closed(self, now: float) -> int:
        """The start of the newest bucket that has ended at the unix time `now`."""
        return self.floor(now) - self.seconds

    def count(self, first: int, last: int) -> int:
        """How many buckets lie in [first, last], both bucket starts; 0 where last < first."""
        return max(0, (last - first) // self.seconds + 1)


@dataclass(frozen=True, slots=True)
class Series:
    """The candles of a pair at an interval: what is loaded, stored, locked and served as one."""

    pair: Pair
    interval: Interval

    @property
    def step(self) -> int:
        """Seconds from one bucket to the next."""
        return self.interval.seconds

    def named(self) -> dict[str, str]:
        """The names of the pair and the interval, for log lines and JSON."""
        return {"pair": str(self.pair), "interval": str(self.interval)}

    def __str__(self) -> str:
        return f"{self.pair} {self.interval}"


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed bucket of trading. Prices in 1e-8; `bucket` in unix seconds, UTC.

    `volume` is None where the exchange sent none that is a number.
    """

    bucket: int
    open: int
    high: int
    low: int
    close: int
    volume: Exact | None


@dataclass(frozen=True, slots=True)
class RefusedCandle:
    """A candle from the exchange that must not be used; `reason` is a sentence."""

    bucket: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class VolumeNote:
    """A note that a candle came without a volume that is a number, and is used all the same.

    `reason` is a sentence about what came instead. In quarantine, one of NOTES stands before it.
    """

    bucket: int
    reason: str


WITHOUT_VOLUME: Final = "This candle is used without a volume."
WITH_EARLIER_VOLUME: Final = "This candle is used with the volume that an earlier reply had."
NOTES: Final = (WITHOUT_VOLUME, WITH_EARLIER_VOLUME)
"""What tells a note in quarantine from a refusal: the reason begins with one of these.

They are a format: a stored note that begins otherwise would count as a refusal.
"""


@dataclass(frozen=True, slots=True)
class QuarantinedCandle:
    """A refused candle, or a note, as stored; `bucket` is None where the stamp is unreadable."""

    bucket: int | None
    reason: str
    first_seen_at: int
    last_seen_at: int

    @property
    def used(self) -> bool:
        """Whether this is a note about a candle that is used."""
        return self.reason.startswith(NOTES)


@dataclass(frozen=True, slots=True)
class CandleRevision:
    """A closed candle that the exchange revised: old and new, and the unix time of detection.

    `revision` is the series' revision with the change.
    """

    old: Candle
    new: Candle
    revision: int
    noticed_at: int


@dataclass(frozen=True, slots=True)
class CandlePage:
    """The exchange's reply about the closed buckets [first, last] of a series.

    `exchange_time` is when the exchange read the candles, by its clock, in unix seconds. `last` is
    lowered to the newest bucket that was closed by then; `last < first` where none was. `candles`
    are valid, closed, inside [first, last], unique and ascending. A bucket in [first, last] that is
    neither in `candles` nor in `refused` is one that the exchange does not have. `complete` says
    that `exchange_time` lies before the end of the requested buckets: nothing newer is sure yet.
    `received_at` is when the reply came, in unix seconds, by our clock unless that is known to be
    off.
    `notes` are about the `candles` without a volume.
    """

    first: int
    last: int
    candles: tuple[Candle, ...]
    refused: tuple[RefusedCandle, ...]
    exchange_time: int
    received_at: int
    complete: bool
    notes: tuple[VolumeNote, ...] = ()


@dataclass(frozen=True, slots=True)
class AverageRow:
    """The averages of one bucket in 1e-8, None where a window lacks one of its buckets.

    `values` follow the order of WINDOWS.
    """

    bucket: int
    values: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Absent:
    """A closed bucket that the exchange lacked, with the times of the requests (unix seconds)."""

    bucket: int
    first_asked_at: int
    last_asked_at: int


@dataclass(frozen=True, slots=True)
class SeriesState:
    """The state of one stored series, without its rows.

    `revision` grows with every committed change of the series' data; 0 before the first.
    `first` and `last` are the oldest and newest stored buckets, None where nothing is stored.
    `checked_at` is the unix time of the last load that reached the exchange's newest candle, None
    before the first. `first_tried_at` is when the first load of the series began, None where none
    has, or where an earlier program did it.
    """

    revision: int
    first: int | None
    last: int | None
    checked_at: int | None
    first_tried_at: int | None = None


EMPTY_SERIES: Final = SeriesState(revision=0, first=None, last=None, checked_at=None)


class Mark(NamedTuple):
    """What tells that a stored series has changed, or was loaded: see SeriesState."""

    revision: int
    checked_at: int | None


@dataclass(frozen=True, slots=True)
class SeriesVersion:
    """The state of one stored series, and what says whether the records beside it have changed.

    `absences` and `quarantine` are the number of records and the sum of the unix times at which
    each was seen last. A record is added or seen again later than before, so that either changes.
    """

    state: SeriesState
    absences: tuple[int, ...] = (0, 0)
    quarantine: tuple[int, ...] = (0, 0)


@dataclass(frozen=True, slots=True)
class AverageSlice:
    """Averages of one window, rendered for a reply.

    `body` is a JSON array of `count` objects `{"timestamp": unix seconds, "mms": decimal}`,
    ascending.
    """

    state: SeriesState
    count: int
    body: bytes
