"""The cache in the process: bounded, and the least recently used goes first."""

from __future__ import annotations

from dataclasses import dataclass

from app.db.cache.memory import MemoryCache


@dataclass
class Clock:
    """A monotonic clock that a test sets."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def size(value: bytes) -> int:
    return len(value) + 200


def held(cache: MemoryCache[bytes], keys: str) -> str:
    return "".join(key for key in keys if cache.get(key) is not None)


def test_an_entry_lives_as_long_as_it_may_after_it_was_stored_last_however_often_it_is_read() -> (
    None
):
    clock = Clock()
    cache = MemoryCache[bytes](60, len, monotonic=clock)
    cache.set("key", b"1")
    clock.now += 40
    cache.set("key", b"2")
    for _ in range(2):
        clock.now += 29.999
        assert cache.get("key") == b"2"
    clock.now += 0.002
    assert cache.get("key") is None


def test_what_was_used_longest_ago_makes_room() -> None:
    cache = MemoryCache[bytes](60, size, capacity=3_600)
    for key in "abc":
        cache.set(key, b"x" * 1_000)
    assert held(cache, "bca") == "bca"
    cache.set("d", b"")
    assert held(cache, "abcd") == "acd"


def test_a_value_beyond_all_room_is_not_kept_and_removes_its_predecessor_alone() -> None:
    cache = MemoryCache[bytes](60, size, capacity=4_000)
    for key, length in (("a", 1_000), ("b", 1_000), ("b", 5_000)):
        cache.set(key, b"x" * length)
    assert held(cache, "ab") == "a"
