"""A ring of real memcached nodes: who holds what, who is left alone, and who is used again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import structlog

from app.db.cache.memcached import MemcachedRing
from app.db.cache.signing import Signer
from tests.support.loopback import nothing_left_behind
from tests.support.memcached import Memcached
from tests.support.patience import until

SECRET = b"sixteen characters"
KEYS = [f"BTC-BRL 1d 20 {number} 2" for number in range(900)]
NAMES = sorted(Signer(SECRET).entry_name(key) for key in KEYS)
VALUE = b"value of "


def soon(event: threading.Event, seconds: float) -> bool:
    """Wait a fortieth of the time between two probes."""
    return event.wait(seconds / 40)


def never(event: threading.Event, _seconds: float) -> bool:
    """Wait for the end: nothing is probed."""
    return event.wait()


@contextmanager
def ring_of(
    nodes: list[Memcached], *, patient: bool = False, ttl: int = 60
) -> Iterator[MemcachedRing]:
    """A ring over the nodes; a patient one never asks whether a broken node is back."""
    addresses = [node.address for node in nodes]
    ring = MemcachedRing(addresses, ttl, SECRET, wait=never if patient else soon)
    with nothing_left_behind(), closing(ring):
        yield ring


def fill(ring: MemcachedRing) -> None:
    for key in KEYS:
        ring.set(key, VALUE + key.encode())


def hits(ring: MemcachedRing) -> set[str]:
    """The names of the entries that come back; another value than its own is a failure."""
    values = {key: ring.get(key) for key in KEYS}
    wrong = [key for key, value in values.items() if value not in (None, VALUE + key.encode())]
    assert wrong == []
    return {Signer(SECRET).entry_name(key) for key, value in values.items() if value is not None}


def events(logged: list[structlog.typing.EventDict]) -> list[tuple[str, str]]:
    return [(line["event"], line["node"]) for line in logged]


def test_the_nodes_share_the_keys_and_each_key_has_one_node(
    memcached_nodes: list[Memcached],
) -> None:
    with ring_of(memcached_nodes) as ring:
        fill(ring)
        assert hits(ring) == set(NAMES)
    with ring_of(memcached_nodes[::-1]) as other:  # the order in which they are named is no matter
        assert hits(other) == set(NAMES)
    held = [node.held() for node in memcached_nodes]
    assert sorted(key for keys in held for key in keys) == NAMES
    # Each is within a third of its fair share; chance alone strays 4 % of it.
    assert all(200 < len(keys) < 400 for keys in held)


def test_a_dead_node_costs_its_own_keys_and_no_others(memcached_nodes: list[Memcached]) -> None:
    dead = memcached_nodes[1]
    with structlog.testing.capture_logs() as logged, ring_of(memcached_nodes, patient=True) as ring:
        fill(ring)
        gone = set(dead.held())
        dead.kill()
        assert hits(ring) == set(NAMES) - gone
        assert not ring.healthy()
        # What is stored again goes to the others, evenly, and is found there.
        fill(ring)
        assert hits(ring) == set(NAMES)
        left = [len(node.held()) for node in memcached_nodes if node is not dead]
        assert sum(left) == len(KEYS)
        assert all(300 < count < 600 for count in left)
    assert events(logged) == [("cache_broke", dead.name)]


def test_a_node_that_is_back_gets_its_keys_again(memcached_nodes: list[Memcached]) -> None:
    back = memcached_nodes[2]
    with structlog.testing.capture_logs() as logged, ring_of(memcached_nodes) as ring:
        fill(ring)
        before = back.held()
        back.kill()
        hits(ring)
        assert not ring.healthy()
        back.start()
        until(ring.healthy)
        # It is empty: its keys are misses, and land on it again.
        assert hits(ring) == set(NAMES) - set(before)
        fill(ring)
        assert back.held() == before
    assert events(logged) == [("cache_broke", back.name), ("cache_recovered", back.name)]
