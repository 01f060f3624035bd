"""What a memcached that hangs or is killed adds to a read: at its first failure, and from then on.

A year of daily averages is read in three ways: through memcached alone, as production reads (a
cache in the process before memcached), and with that cache but no memcached. The process's cache is
emptied before each read, as a load's new revision does: a hit there would never reach memcached.
The three ways take turns, so that other load on the machine meets all alike.

memcached adds the time spent in calls to it. Where a call waits for nothing, that is its processor
time: how long other processes ran meanwhile says nothing about memcached. The rest is the read
without memcached, and the medians of whole reads must agree with that.
"""

from __future__ import annotations

import math
import resource
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, TypeVar

from app.core.ports import AverageStore, Cache
from app.db.cache.averages import BlockName, CachedAverageStore, block_memory
from app.db.cache.blocks import Block
from app.db.cache.memcached import MemcachedRing
from app.db.cache.memory import MemoryCache
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.rig import Where
from tests.support.candles import BTC_DAILY, DAY
from tests.support.history import History
from tests.support.memcached import Memcached, program, running
from tests.support.patience import until

FIRST: Final = 0.250
THEN: Final = 0.005
"""Seconds that memcached may add to a read (99th percentile): as it fails, and from then on."""

READS: Final = 25
"""Reads of each kind after each failure."""

WITHOUT: Final = "without memcached"
ALONE: Final = "memcached alone"
PRODUCTION: Final = "as production reads"

_LONG: Final = 3_600

Result = TypeVar("Result")


def spent(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result of the work, and its seconds: all of them if it waited, else processor time."""
    begun, waits, worked = time.perf_counter(), _waits(), time.thread_time()
    result = work()
    waited = waits is None or _waits() != waits
    took, work_alone = time.perf_counter() - begun, time.thread_time() - worked
    return result, took if waited else work_alone


def _waits() -> int | None:
    """How often this thread has waited for something; None where the system does not tell."""
    whose = getattr(resource, "RUSAGE_THREAD", None)
    return None if whose is None else resource.getrusage(whose).ru_nvcsw


class Timed:
    """A ring that knows how long its callers have been in it."""

    def __init__(self, ring: MemcachedRing) -> None:
        self._ring = ring
        self.seconds = 0.0

    def get(self, key: str) -> memoryview | None:
        """As the ring does."""
        block, seconds = spent(lambda: self._ring.get(key))
        self.seconds += seconds
        return block

    def set(self, key: str, value: bytes) -> None:
        """As the ring does."""
        _, seconds = spent(lambda: self._ring.set(key, value))
        self.seconds += seconds

    def healthy(self) -> bool:
        """As the ring does."""
        return self._ring.healthy()

    def close(self) -> None:
        """As the ring does."""
        self._ring.close()


@dataclass(frozen=True)
class Way:
    """One way to read: the store, what to do before each read, and memcached's share of it."""

    store: AverageStore
    ready: Callable[[], None] = lambda: None
    timed: Timed | None = None


@dataclass
class Times:
    """Seconds by way of reading: in memcached at first and then, and of whole reads then."""

    first: dict[str, list[float]] = field(default_factory=dict)
    then: dict[str, list[float]] = field(default_factory=dict)
    whole: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class Pace:
    """How long a broken node is left alone: as in production, but no longer once it is repaired."""

    def __init__(self) -> None:
        self.mended = threading.Event()

    def __call__(self, closed: threading.Event, seconds: float) -> bool:
        self.mended.wait(seconds)
        return closed.is_set()


def measure(
    where: Where, runs: int = 40, step: Step = no_step, *, slack: float = 0.0
) -> list[Figure]:
    """Let memcached hang and be killed `runs` times; `slack` seconds are for a busy machine."""
    path = program()
    if path is None:
        raise LookupError("memcached is not installed")
    times, pace = Times(), Pace()
    with (
        running(path) as node,
        where.databases() as create,
        closing(History(create())) as history,
        closing(Timed(MemcachedRing([node.address], _LONG, wait=pace))) as alone,
        closing(Timed(MemcachedRing([node.address], _LONG, wait=pace))) as behind,
    ):
        only, near, none = block_memory(_LONG), block_memory(_LONG), block_memory(_LONG, capacity=0)

        def through(
            memory: MemoryCache[BlockName, Block], shared: Cache | None = None
        ) -> CachedAverageStore:
            """The averages, with a revision that is believed throughout."""
            return CachedAverageStore(history.store, memory, shared, check_every=_LONG)

        ways = {
            WITHOUT: Way(through(only), ready=only.clear),
            ALONE: Way(through(none, alone), timed=alone),
            PRODUCTION: Way(through(near, behind), ready=near.clear, timed=behind),
        }
        for _ in range(runs):
            for breaks, mends in faults(node):
                pace.mended.clear()
                _fail(history, ways, times, breaks)
                mends()
                pace.mended.set()
                until(lambda: alone.healthy() and behind.healthy())
            step()
    return judged(times, where.kind, runs, slack)


def faults(node: Memcached) -> Sequence[tuple[Callable[[], None], Callable[[], None]]]:
    """What breaks a node, and what mends it."""
    return [(node.hold, node.go_on), (node.kill, node.start)]


def _fail(history: History, ways: dict[str, Way], times: Times, breaks: Callable[[], None]) -> None:
    """Read while all is well, to connect and to fill; then at the failure and after it."""
    first, last = history.last - 364 * DAY.seconds, history.last
    right = history.body(0, 20, first, last)

    def read(name: str) -> tuple[float, float]:
        """The seconds of one read: all of it, and memcached's part."""
        way = ways[name]
        way.ready()
        before = way.timed.seconds if way.timed else 0.0
        begun = time.perf_counter()
        answer = way.store.read(BTC_DAILY, 20, first, last)
        whole = time.perf_counter() - begun
        if answer.body != right:
            times.wrong.append(f"{name}: {answer.count} averages that are not those stored")
        return whole, way.timed.seconds - before if way.timed else 0.0

    for name in ways:
        read(name)
    breaks()
    for name, way in ways.items():
        if way.timed:
            times.first.setdefault(name, []).append(read(name)[1])
            if way.timed.healthy():
                times.wrong.append(f"{name}: the failure went unnoticed")
    for _ in range(READS):
        for name, way in ways.items():
            whole, part = read(name)
            times.whole.setdefault(name, []).append(whole)
            if way.timed:
                times.then.setdefault(name, []).append(part)


def judged(times: Times, kind: str, runs: int, slack: float = 0.0) -> list[Figure]:
    """The figures: each way's 99th percentiles against their limits."""
    middle = {name: statistics.median(values) for name, values in times.whole.items()}
    slower = [
        f"{name}: the median of whole reads is {_ms(value)}, and {_ms(middle[WITHOUT])} {WITHOUT}"
        for name, value in middle.items()
        if value - middle[WITHOUT] > THEN + slack
    ]
    medians = ", ".join(f"{name} {_ms(value)}" for name, value in middle.items())
    then = sum(map(len, times.then.values()))
    return [
        figure(
            f"memcached hangs or is killed: its first failure adds at most {_ms(FIRST)} to a read (p99)",
            kind,
            runs,
            f"{sum(map(len, times.first.values()))} failures: {_p99s(times.first)}",
            [*times.wrong, *_beyond(times.first, FIRST + slack)],
        ),
        figure(
            f"from then on it adds at most {_ms(THEN)} (p99)",
            kind,
            runs,
            f"{then:,} reads: {_p99s(times.then)}; medians of whole reads: {medians}",
            [*times.wrong, *_beyond(times.then, THEN + slack), *slower],
        ),
    ]


def p99(seconds: Sequence[float]) -> float:
    """The 99th percentile by nearest rank: the longest of fewer than a hundred."""
    return sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1]


def _beyond(times: dict[str, list[float]], limit: float) -> list[str]:
    worst = {name: p99(seconds) for name, seconds in times.items()}
    return [f"{name}: {_ms(value)}" for name, value in worst.items() if value > limit]


def _p99s(times: dict[str, list[float]]) -> str:
    return ", ".join(f"{name} {_ms(p99(seconds))}" for name, seconds in times.items())


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
