"""What the services need from outside, as protocols; `app.bootstrap` chooses the classes."""

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
    Mark,
    QuarantinedCandle,
    RefusedCandle,
    Series,
    SeriesState,
    SeriesVersion,
    VolumeNote,
    Window,
)
from app.core.setting_edge import Rate

Result = TypeVar("Result")

Clock = Callable[[], float]
"""Returns unix seconds, UTC. Taken once in each `main()` or dependency and passed down."""


class CandleSource(Protocol):
    """An exchange, as a source of candles."""

    @property
    def page_size(self) -> int:
        """The most buckets that one `page` call may request."""

    def page(self, series: Series, first: int, last: int) -> CandlePage:
        """Request the closed candles of the buckets [first, last], in one request.

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

    def clear(self) -> list[int]:
        """Delete all candles, averages and refused candles; returns the candles' buckets.

        `state` is then that of a series without rows.
        """

    def put_candles(self, candles: Sequence[Candle]) -> None:
        """Insert or replace candles; ascending and unique."""

    def put_averages(self, rows: Sequence[AverageRow]) -> None:
        """Insert or replace averages; ascending and unique, each of a bucket with a candle."""

    def drop_orphans(self, first: int, last: int) -> int:
        """Delete the averages of [first, last] whose bucket has no candle; returns how many."""

    def note_absent(self, buckets: Sequence[int], asked_at: int) -> None:
        """Note that the exchange had no candle for these buckets at unix time `asked_at`."""

    def quarantine(self, items: Sequence[RefusedCandle | VolumeNote], seen_at: int) -> None:
        """Keep refusals and notes of unix time `seen_at`, each reason once per bucket."""

    def note_revised(self, changed: Sequence[tuple[Candle, Candle]]) -> None:
        """Keep (old, new) of closed candles that the exchange revised; ascending by bucket.

        They are written with the revision that `finish` returns.
        """

    def finish(self, *, changed: bool, now: float, checked: bool = True) -> int:
        """End the unit at unix time `now`, with a new revision where data changed; returns it.

        `checked` says that the load reached the exchange's newest candle: the series is current.
        """


class SeriesStore(Protocol):
    """Stored candles and averages: all writes, and the uncached reads."""

    def begin(self, series: Series) -> AbstractContextManager[SeriesUnit]:
        """Open one transaction on one series: committed at the end, undone on any error."""

    def note_first_try(self, series: Series, now: float) -> None:
        """Store that the first load begins at unix time `now`, in a transaction of its own.

        Changes nothing where an earlier one was noted, or a load has reached the newest candle.
        """

    def together(self, ask: Callable[[SeriesStore], Result]) -> Result:
        """Call `ask` with a store whose reads all go to one server; return its result.

        The reads are not a snapshot: a load may commit between two of them. `ask` may be called
        twice.
        """

    def state(self, series: Series) -> SeriesState:
        """The state of the series; EMPTY_SERIES before its first load."""

    def marks(self) -> dict[tuple[str, str], Mark]:
        """The mark of every stored series, by pair (`BTC-BRL`) and interval. Reads no rows."""

    def version(self, series: Series) -> SeriesVersion:
        """The state of the series and of the records beside it, from one snapshot."""

    def buckets(self, series: Series, spans: Sequence[tuple[int, int]]) -> list[int]:
        """The buckets that have a candle in any [first, last] of `spans`, ascending.

        The spans are ascending and disjoint, and a hundred at most: they are read at once.
        """

    def extent(self, series: Series, first: int, last: int) -> tuple[int, int | None, int | None]:
        """How many buckets of [first, last] have a candle, and the first and last of them.

        Reads no rows.
        """

    def absences(self, series: Series, first: int, last: int) -> list[Absent]:
        """The buckets of [first, last] that the exchange lacked at the last request, ascending."""

    def settled(self, series: Series, first: int, last: int) -> int:
        """How many buckets of [first, last] have a candle or are noted as absent. Reads no rows."""

    def stretches(self, series: Series, first: int, last: int, size: int) -> list[tuple[int, int]]:
        """The numbers of candles and of buckets with every average, in each `size` buckets.

        The first pair is of the buckets from `first`; the last one ends with `last`. Reads no rows.
        """

    def averaged(self, series: Series, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The buckets of `spans` that have a row of averages, and which it has; see `buckets`.

        The bit of value 1 stands for the first of WINDOWS, 2 for the second, 4 for the third.
        """

    def quarantined(
        self,
        series: Series,
        first: int,
        last: int,
        limit: int | None = None,
        *,
        notes: bool = True,
    ) -> list[QuarantinedCandle]:
        """Refusals of [first, last] and those without a bucket, last seen first.

        With `notes`, those about candles that are used, too; there may be one for every candle.
        """

    def revisions(self, series: Series, limit: int) -> list[CandleRevision]:
        """Closed candles that the exchange revised, last noticed first."""

    def rows(
        self,
        series: Series,
        first: int,
        last: int,
        limit: int | None = None,
        *,
        descending: bool = False,
    ) -> tuple[SeriesState, list[tuple[Candle, AverageRow]]]:
        """Candles of [first, last] with their averages, and the state they belong to.

        They ascend, or descend; with `limit`, they are the first so many in that order.
        """

    def means(
        self,
        series: Series,
        window: Window,
        first: int,
        last: int,
        limit: int | None = None,
        *,
        descending: bool = False,
    ) -> tuple[SeriesState, list[tuple[int, int]]]:
        """The (bucket, average in 1e-8) of [first, last] that exist, as in `rows`."""


class AverageStore(Protocol):
    """The reading side of the averages, one window at a time."""

    def state(self, series: Series) -> SeriesState:
        """The state of the series; EMPTY_SERIES before its first load."""

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""


class WarmAverages(Protocol):
    """Averages in the memory of the process, for reads in the event loop: nothing here waits."""

    def warm_state(self, series: Series) -> SeriesState | None:
        """The known state of the series, one object while it stays equal.

        None where nothing is known, and where this caller has to ask an AverageStore: the state is
        old, and nobody else is asking.
        """

    def warm_read(
        self, series: Series, window: Window, first: int, last: int, state: SeriesState
    ) -> AverageSlice | None:
        """What `AverageStore.read` returns at this state; None where it is not all in memory."""


class Leases(Protocol):
    """Leases: which process does a piece of work now."""

    def take(self, name: str, now: float) -> str | None:
        """Take or renew a lease at unix time `now`; None if it is ours, else its holder."""

    def release(self, name: str) -> None:
        """Give the lease back if it is ours."""


class HostClocks(Protocol):
    """The times that hosts sent to earlier processes, kept for a host whose clock is far off."""

    def seen(self, host: str, stamp: int, now: float) -> int:
        """When the host first sent the time `stamp`; unix seconds by our clock, at most `now`.

        Keeps it, seen `now`, in the place of another stamp, and of one that was seen later than
        `now`: our clock has been set back. Raises StoreError.
        """


class RateLimiter(Protocol):
    """Spaces the requests to one host. It takes durations, so that any clock can be behind it."""

    def enter(self, budget: float) -> None:
        """Wait until the next request may go out.

        Raises, with `retry_after`, as soon as the wait is sure to exceed `budget` seconds:
        UpstreamUnavailable where the host asked for the pause, OutOfTurn where earlier requests are
        the reason. Raises BudgetSpent where this month leaves no call, and StoreError where turns
        are kept in a database and that fails.
        """

    def close_for(self, seconds: float) -> None:
        """Hold all requests for `seconds`, as the host asked. Never shortens an earlier closure."""


Quota = tuple[int, int]
"""How many more requests may pass, and for how many seconds that holds if nobody else counts them.

A first number below 0: none may, and the second one is the seconds to wait until one may.
"""


class RequestRate(Protocol):
    """How many requests of each client pass: at most `rate`. For one thread; nothing here waits."""

    @property
    def rate(self) -> Rate:
        """The limit."""

    def take(self, client: str) -> Quota:
        """Count a request of this client if it may pass; the quota after it."""

    def left(self, client: str) -> Quota:
        """The quota of this client now, which counts nothing."""


class SharedCounts(Protocol):
    """Counts that processes share, which may be gone at any time. Never raises."""

    def count(self, key: str, by: int, whole: int, ttl: int) -> int | None:
        """Add `by` to the count under the key; returns the new one, None where that is impossible.

        Where there is no count yet, it becomes `whole`, and is kept for `ttl` seconds. Keys are any
        text; others who share the counts' storage do not learn it.
        """


class Cache(Protocol):
    """Bytes by key, which may be gone at any time. Never raises: every failure is a miss."""

    def get(self, key: str) -> memoryview | None:
        """What this installation has stored under the key, unaltered; None for a miss."""

    def set(self, key: str, value: bytes) -> None:
        """Store the value where that is possible."""

    def healthy(self) -> bool:
        """Whether the cache works."""

    def close(self) -> None:
        """Release its resources."""
