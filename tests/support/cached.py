"""A cache in front of averages, with a source and a clock that a test sets."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from app.core.market import AverageSlice, Interval, Series
from app.core.ports import Cache
from app.db.cache import blocks
from app.db.cache.averages import CachedAverageStore, block_memory
from app.db.cache.signing import Signer
from tests.support.candles import BTC
from tests.support.means import RecordingMeans

BTC_MINUTES = Series(BTC, Interval.MINUTE)
STEP = BTC_MINUTES.step
SIZE = blocks.BLOCK * STEP
START = 3_400 * SIZE
"""Where a block of minutes begins."""
EVER = 2**40


@dataclass
class Clock:
    """A monotonic clock that a test sets."""

    now: float = 50.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Spoilable:
    """A cache whose signed entries a test can spoil; `sets` records what is stored."""

    entries: dict[str, bytes] = field(default_factory=dict)
    sets: list[str] = field(default_factory=list)
    _signer: Signer = field(default_factory=lambda: Signer(None))

    def get(self, key: str) -> memoryview | None:
        signed = self.entries.get(key)
        return None if signed is None else self._signer.verified(key, signed)

    def set(self, key: str, value: bytes) -> None:
        self.sets.append(key)
        self.entries[key] = self._signer.signed(key, value)

    def healthy(self) -> bool:
        return True

    def close(self) -> None:
        pass


@dataclass
class Stand:
    """A cached store with everything around it; with a shared cache it has no memory of its own."""

    source: RecordingMeans = field(default_factory=RecordingMeans)
    clock: Clock = field(default_factory=Clock)
    cache: Cache | None = None

    def __post_init__(self) -> None:
        room = {} if self.cache is None else {"capacity": 0}
        near = block_memory(10**9, **room)
        self.store = CachedAverageStore(self.source, near, self.cache, monotonic=self.clock)

    def read(self, first: int = 0, last: int = EVER, window: int = 20) -> AverageSlice:
        return self.store.read(BTC_MINUTES, window, first, last)

    def questions(self) -> list[str]:
        """What the source was asked since this was last called."""
        asked = list(self.source.asked)
        self.source.asked.clear()
        return asked


def minutes(first: int, count: int, seed: int = 1) -> dict[int, int]:
    """Averages of so many minutes from `first`, in blocks of the test's own making."""
    chance = random.Random(seed)
    return {first + number * STEP: chance.randrange(10**14) for number in range(count)}


WITHIN = minutes(START + 100 * STEP, 50)
ACROSS = minutes(START - 30 * STEP, 60)
