"""The cache in the process: bounded, and the least recently used goes first."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from app.db.cache.memory import MemoryCache


@dataclass
class Clock:
    """A monotonic clock that a test sets."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def held(cache: MemoryCache, keys: list[str]) -> list[str]:
    return [key for key in keys if cache.get(key) is not None]


def test_an_entry_lives_exactly_as_long_as_it_may() -> None:
    clock = Clock()
    cache = MemoryCache(60, monotonic=clock)
    cache.set("key", b"1")
    clock.now += 59.999
    assert cache.get("key") == b"1"
    clock.now += 0.001
    assert cache.get("key") is None


def test_storing_again_begins_a_new_life() -> None:
    clock = Clock()
    cache = MemoryCache(60, monotonic=clock)
    cache.set("key", b"1")
    clock.now += 40
    cache.set("key", b"2")
    clock.now += 40
    assert cache.get("key") == b"2"


def test_reading_does_not_lengthen_a_life() -> None:
    clock = Clock()
    cache = MemoryCache(60, monotonic=clock)
    cache.set("key", b"1")
    for _ in range(6):
        clock.now += 10
        cache.get("key")
    assert cache.get("key") is None


def test_what_was_used_longest_ago_makes_room() -> None:
    cache = MemoryCache(60, capacity=4_000)
    for key in "abc":
        cache.set(key, b"x" * 1_000)
    assert cache.get("a") is not None
    cache.set("d", b"x" * 1_000)
    assert held(cache, list("abcd")) == ["a", "c", "d"]


def test_a_value_beyond_all_room_is_not_kept_and_drives_nobody_out() -> None:
    cache = MemoryCache(60, capacity=4_000)
    cache.set("a", b"x" * 1_000)
    cache.set("b", b"x" * 5_000)
    assert held(cache, ["a", "b"]) == ["a"]


def test_an_old_value_does_not_stay_when_its_successor_finds_no_room() -> None:
    cache = MemoryCache(60, capacity=4_000)
    cache.set("a", b"x" * 1_000)
    cache.set("a", b"x" * 5_000)
    assert cache.get("a") is None


def test_what_fills_the_capacity_exactly_is_kept_also_after_a_close() -> None:
    # An entry takes 200 bytes beside its value.
    cache = MemoryCache(60, capacity=3_600)
    for _ in range(2):
        for key in "abc":
            cache.set(key, b"x" * 1_000)
        assert held(cache, list("abc")) == ["a", "b", "c"]
        cache.set("d", b"")
        assert held(cache, list("abcd")) == ["b", "c", "d"]
        cache.set("whole", b"x" * 3_400)
        assert held(cache, [*"abcd", "whole"]) == ["whole"]
        cache.set("whole", b"x" * 3_401)
        assert held(cache, [*"abcd", "whole"]) == []
        cache.close()


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3_000), st.integers(0, 30)),
        max_size=60,
    )
)
def test_however_it_is_used_no_more_than_its_capacity_is_kept(
    steps: list[tuple[str, int, int]],
) -> None:
    clock = Clock()
    cache = MemoryCache(60, capacity=5_000, monotonic=clock)
    last: dict[str, bytes] = {}
    for number, (key, size, seconds) in enumerate(steps):
        clock.now += seconds
        last[key] = bytes([number % 256]) * size
        cache.set(key, last[key])
        values = {name: cache.get(name) for name in "abcdefgh"}
        assert all(value in (None, last.get(name)) for name, value in values.items())
        assert sum(len(value) for value in values.values() if value is not None) <= 5_000


def test_many_small_values_do_not_take_more_than_the_capacity_either() -> None:
    cache = MemoryCache(60, capacity=50_000)
    keys = [str(number) for number in range(10_000)]
    for key in keys:
        cache.set(key, b"")
    assert len(held(cache, keys)) <= 500
