"""What somebody else has stored while a reader waited for its turn is taken, not read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from app.db.cached import CachedAverageStore
from tests.support.cached import MINUTE, SIZE, START, STEP
from tests.support.candles import BTC
from tests.support.means import RecordingMeans, rows_in

ROWS = {START + number * STEP: 10**9 + number for number in range(-20, 20)}


@dataclass
class Watched:
    """A cache that calls `meanwhile` once, after its first miss; `gets` records the questions."""

    meanwhile: Callable[[], None] = lambda: None
    entries: dict[str, bytes] = field(default_factory=dict)
    gets: list[str] = field(default_factory=list)

    def get(self, key: str) -> bytes | None:
        self.gets.append(key)
        found = self.entries.get(key)
        if found is None:
            meanwhile, self.meanwhile = self.meanwhile, lambda: None
            meanwhile()
        return found

    def set(self, key: str, value: bytes) -> None:
        self.entries[key] = value

    def healthy(self) -> bool:
        return True

    def close(self) -> None:
        pass


def test_a_block_that_came_into_the_cache_meanwhile_is_not_read_from_the_source() -> None:
    source, cache = RecordingMeans(), Watched()
    source.commit(ROWS)
    store = CachedAverageStore(source, cache, monotonic=lambda: 50.0)
    whole = store.read(BTC, MINUTE, 20, START - SIZE, START + SIZE - STEP)
    assert rows_in(whole.body) == ROWS
    kept = dict(cache.entries)
    cache.entries.clear()
    cache.gets.clear()
    source.asked.clear()

    cache.meanwhile = lambda: cache.entries.update(kept)
    again = store.read(BTC, MINUTE, 20, START - SIZE, START + SIZE - STEP)
    assert again == whole
    assert source.asked == []
    # The first block missed, which sent the reader to wait for its turn; then both were there.
    assert cache.gets == [sorted(kept)[0], *sorted(kept)]
