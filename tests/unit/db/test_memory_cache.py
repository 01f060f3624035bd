"""The cache in the process: bounded, and what was not used for longest goes first."""

from __future__ import annotations

import random
from dataclasses import dataclass

from app.db.cache.memory import MemoryCache


@dataclass
class Clock:
    """A monotonic clock that a test sets."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def held(cache: MemoryCache[str, bytes], keys: str) -> str:
    return "".join(key for key in keys if cache.get(key) is not None)


def test_an_entry_lives_as_long_as_it_may_after_it_was_stored_last_however_often_it_is_read() -> (
    None
):
    clock = Clock()
    cache = MemoryCache[str, bytes](60, len, 20, monotonic=clock)
    cache.set("key", b"1")
    clock.now += 40
    cache.set("key", b"2")
    for _ in range(2):
        clock.now += 29.999
        assert cache.get("key") == b"2"
        cache.set("other", b"x" * 10)  # the other generation, to which a use moves it
    clock.now += 0.002
    assert cache.get("key") is None


def test_what_was_not_used_for_longest_makes_room() -> None:
    cache = MemoryCache[str, bytes](60, len, capacity=6_000)
    for key in "abc":
        cache.set(key, b"x" * 1_000)
    cache.set("d", b"x" * 1_000)
    assert cache.get("a") is not None
    for key in "ef":
        cache.set(key, b"x" * 1_000)
    assert held(cache, "abcdef") == "adef"


def test_a_value_beyond_all_room_is_not_kept_and_removes_its_predecessor_alone() -> None:
    cache = MemoryCache[str, bytes](60, len, capacity=6_000)
    for key, length in (("a", 1_000), ("b", 1_000), ("b", 3_001)):
        cache.set(key, b"x" * length)
    assert held(cache, "ab") == "a"
    cache.clear()
    assert held(cache, "a") == ""


def test_a_use_does_not_bring_back_what_another_thread_has_just_replaced() -> None:
    cache = MemoryCache[str, bytes](60, len, capacity=20)
    cache.set("key", b"old")
    cache.set("other", b"x" * 10)  # from here on the key is in the older generation
    lock = cache._lock

    class Busy:
        """A lock that another caller gets first, who stores a value."""

        def __enter__(self) -> None:
            cache._lock = lock
            cache.set("key", b"new")
            lock.acquire()

        def __exit__(self, *_error: object) -> None:
            lock.release()

    cache._lock = Busy()  # type: ignore[assignment] # all that is used of a lock
    cache.get("key")
    assert cache.get("key") == b"new"


def test_whatever_is_stored_and_read_it_takes_no_more_than_its_capacity() -> None:
    chance = random.Random(1)
    cache = MemoryCache[int, bytes](60, len, capacity=10_000)
    for _ in range(5_000):
        key = chance.randrange(60)
        if chance.random() < 0.5:
            cache.set(key, bytes(chance.randrange(6_000)))
        else:
            cache.get(key)
        kept = [entry for part in (cache._young, cache._old) for entry in part.items()]
        assert sum(len(value) for _, (_, value) in kept) <= 10_000
        assert len({key for key, _ in kept}) == len(kept)
