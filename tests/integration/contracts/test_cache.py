"""One contract for every cache: bytes by key, for a while, perhaps, and never an error."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import pytest

from app.core.ports import Cache
from app.db.cache.memcached import MemcachedRing
from tests.support.loopback import nothing_left_behind
from tests.support.memcached import Memcached
from tests.support.patience import until
from tests.support.processes import DEADLINE

SERVICES = {"kind": ["memcached", "three nodes"]}

TTL = 60
LARGEST = 1_000_000


@dataclass(frozen=True)
class Kind:
    """One kind of cache; `make` builds it with entries that live for so many seconds."""

    make: Callable[[int], Cache]


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of cache, empty."""
    if request.param == "three nodes":
        nodes: list[Memcached] = request.getfixturevalue("memcached_nodes")
        addresses = [node.address for node in nodes]
        return Kind(lambda ttl: MemcachedRing(addresses, ttl))
    node: Memcached = request.getfixturevalue("memcached")
    return Kind(lambda ttl: MemcachedRing([node.address], ttl))


@pytest.fixture
def cache(kind: Kind) -> Iterator[Cache]:
    """A cache of each kind, and the assertion that it gives back all that it took."""
    with nothing_left_behind():
        made = kind.make(TTL)
        yield made
        made.close()


def entry(cache: Cache, key: str) -> bytes | None:
    """The bytes under the key."""
    value = cache.get(key)
    return None if value is None else bytes(value)


@pytest.mark.parametrize(
    "value", [b"", b"VALUE key 0 3\r\nabc\r\nEND\r\n", secrets.token_bytes(LARGEST)]
)
def test_a_value_comes_back_byte_for_byte(cache: Cache, value: bytes) -> None:
    cache.set("key", value)
    assert entry(cache, "key") == value
    assert cache.get("other") is None
    assert cache.healthy()


def test_a_value_too_large_for_any_node_troubles_nobody(cache: Cache) -> None:
    cache.set("small", b"1")
    value = b"x" * 1_100_000
    cache.set("large", value)
    assert entry(cache, "large") in (value, None)
    assert entry(cache, "small") == b"1"
    assert cache.healthy()


def test_many_threads_never_get_each_others_values(cache: Cache) -> None:
    threads, rounds = 12, 60
    start = Barrier(threads)

    def work(number: int) -> list[str]:
        """Write and read own keys and read the others'; returns what was wrong."""
        start.wait(timeout=10)
        wrong = []
        for turn in range(rounds):
            mine = f"{number}:{turn % 5}"
            cache.set(mine, f"{mine} ".encode() * (1 + turn * 7))
            for key in (mine, f"{turn % threads}:{turn % 5}"):
                value = entry(cache, key)
                if value is not None and set(value.decode().split()) != {key}:
                    wrong.append(f"{key}: {value[:40]!r}")
        return wrong

    with ThreadPoolExecutor(threads) as pool:
        found = [item for wrong in pool.map(work, range(threads)) for item in wrong]
    assert found == []
    # On a busy machine an answer may have come too late for so many threads; then the node rests.
    until(cache.healthy, DEADLINE)
