"""What the services need from outside, as protocols; the floors above choose who fills them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from app.core.market import (
    Absent,
    AverageRow,
    AverageSlice,
    Candle,
    CandlePage,
    CandleRevision,
    QuarantinedCandle,
    RefusedCandle,
    Series,
    SeriesState,
    Window,
)

Result = TypeVar("Result")

Clock = Callable[[], float]
"""Unix seconds, UTC. Taken once in each `main()` or dependency and passed down."""


class CandleSource(Protocol):
    """An exchange that candles come from."""

    @property
    def page_size(self) -> int:
        """The most buckets that one `page` call may ask for."""

    def page(self, series: Series, first: int, last: int) -> CandlePage:
        """Ask for the closed candles of the buckets [first, last], one request.

        `first` and `last` are bucket starts, at most `page_size` buckets; `last` may lie in the
        future. Raises UpstreamError.
        """


class SeriesUnit(Protocol):
    """One series inside one transaction, locked against other writers until it ends."""

    @property
    def state(self) -> SeriesState:
        """The series as it was when the transaction began."""

    def candles(self, first: int, last: int) -> list[Candle]:
        """The stored candles of the buckets [first, last], ascending."""

    def closes(self, first: int, last: int) -> tuple[list[int], list[int]]:
        """Buckets and closes (1e-8) stored in [first, last], ascending, as two equal columns."""

    def put_candles(self, candles: Sequence[Candle]) -> None:
        """Insert or replace candles; ascending and unique."""

    def put_averages(self, rows: Sequence[AverageRow]) -> None:
        """Insert or replace averages; ascending and unique, each of a bucket with a candle."""

    def drop_orphans(self, first: int, last: int) -> int:
        """Delete the averages of [first, last] whose bucket has no candle; returns how many."""

    def note_absent(self, buckets: Sequence[int], asked_at: int) -> None:
        """Remember that the exchange, asked at unix time `asked_at`, had no candle for these."""

    def quarantine(self, refused: Sequence[RefusedCandle], seen_at: int) -> None:
        """Keep candles that were refused at unix time `seen_at`, each reason once per bucket."""

    def note_revised(self, changed: Sequence[tuple[Candle, Candle]]) -> None:
        """Keep (old, new) of closed candles that the exchange revised; ascending by bucket.

        They are written with the revision that `finish` gives.
        """

    def finish(self, *, changed: bool, now: float, checked: bool = True) -> int:
        """End the unit at unix time `now`, with a new revision where data changed; returns it.

        `checked` says that the exchange was asked up to its newest candle: the series is current.
        """


class SeriesStore(Protocol):
    """Candles and averages at rest: the writing side and the plain reads."""

    def begin(self, series: Series) -> AbstractContextManager[SeriesUnit]:
        """Open one transaction on one series: committed at the end, undone on any error."""

    def together(self, ask: Callable[[SeriesStore], Result]) -> Result:
        """What `ask` gets from a store whose answers all come from one server.

        They are no snapshot: a load may commit between two of them. `ask` may be called twice.
        """

    def state(self, series: Series) -> SeriesState:
        """The state of the series; EMPTY_SERIES before its first load."""

    def buckets(self, series: Series, first: int, last: int) -> list[int]:
        """The buckets in [first, last] that have a candle, ascending."""

    def absences(self, series: Series, first: int, last: int) -> list[Absent]:
        """The buckets in [first, last] that the exchange did not have when asked, ascending."""

    def settled(self, series: Series, first: int, last: int) -> int:
        """How many buckets of [first, last] have a candle or are noted as absent. Reads no rows."""

    def wrong_averages(self, series: Series, first: int, last: int) -> list[int]:
        """The buckets in [first, last], ascending, whose averages contradict the candles.

        That is a candle without an average though the window's buckets are all there, or with one
        though they are not, or averages without their candle: a fault of whoever wrote them.
        """

    def quarantined(
        self, series: Series, first: int, last: int, limit: int | None = None
    ) -> list[QuarantinedCandle]:
        """Refused candles of [first, last] and those without a bucket, last seen first."""

    def revisions(self, series: Series, limit: int) -> list[CandleRevision]:
        """Closed candles that the exchange revised, the last noticed ones first."""

    def rows(
        self, series: Series, first: int, last: int
    ) -> tuple[SeriesState, list[tuple[Candle, AverageRow]]]:
        """Candles of [first, last] with their averages, ascending, and the state they belong to."""


class AverageStore(Protocol):
    """One window's averages, for reading."""

    def state(self, series: Series) -> SeriesState:
        """The state of the series; EMPTY_SERIES before its first load."""

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""


class Leases(Protocol):
    """Which process does a piece of work now."""

    def take(self, name: str, now: float) -> str | None:
        """Take or renew a lease at unix time `now`; None if it is ours, else its holder."""

    def release(self, name: str) -> None:
        """Give the lease back if it is ours."""


class RateLimiter(Protocol):
    """Spaces the requests to one host. Durations, not times, so that any clock can stand behind."""

    def enter(self, budget: float) -> None:
        """Return when the next request may go out.

        Raises, with `retry_after`, as soon as it is known that this would take longer than `budget`
        seconds: UpstreamUnavailable where the host asked for the pause, OutOfTurn where the requests
        before this one are the reason. Raises StoreError where turns are kept in a database and that
        is what is in the way.
        """

    def close_for(self, seconds: float) -> None:
        """Let nobody through for so long, as the host asked. Never shortens an earlier closure."""


class Cache(Protocol):
    """Bytes by key, for a while, perhaps. Never raises: whatever goes wrong is a miss."""

    def get(self, key: str) -> bytes | None:
        """The value that was stored under the key, None where it is not to be had."""

    def set(self, key: str, value: bytes) -> None:
        """Store the value, if that is possible."""

    def healthy(self) -> bool:
        """Whether the cache works as it should."""

    def close(self) -> None:
        """Give back what it holds."""
