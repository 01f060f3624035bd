"""A near cache in front of a far one."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.db.cache.layers import LayeredCache


@dataclass
class Recording:
    """A cache that records what it is asked."""

    works: bool = True
    entries: dict[str, bytes] = field(default_factory=dict)
    gets: list[str] = field(default_factory=list)
    closed: int = 0

    def get(self, key: str) -> bytes | None:
        self.gets.append(key)
        return self.entries.get(key)

    def set(self, key: str, value: bytes) -> None:
        self.entries[key] = value

    def healthy(self) -> bool:
        return self.works

    def close(self) -> None:
        self.closed += 1


def test_what_is_only_far_is_near_the_next_time_and_what_is_stored_is_in_both() -> None:
    near, far = Recording(), Recording(entries={"key": b""})
    cache = LayeredCache(near, far)
    assert [cache.get("key") for _ in range(3)] == [b""] * 3
    assert far.gets == ["key"]
    cache.set("other", b"1")
    assert near.entries == far.entries == {"key": b"", "other": b"1"}


def test_it_works_when_both_work_and_closes_both() -> None:
    for works in ((True, True), (True, False), (False, True)):
        near, far = (Recording(each) for each in works)
        cache = LayeredCache(near, far)
        assert cache.healthy() == all(works)
        cache.close()
        assert (near.closed, far.closed) == (1, 1)
