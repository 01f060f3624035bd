"""Whatever happens to a real memcached: every read is right, and only the first one waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import structlog

from app.db.cache.averages import CachedAverageStore, block_memory
from app.db.cache.memcached import MemcachedRing
from tests.support.candles import BTC_DAILY
from tests.support.history import History
from tests.support.memcached import Memcached
from tests.support.patience import until

THREADS = 8
"""Readers at a time. Tests assert counts; `make reliability` judges seconds."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """A database that is only read."""
    url = f"sqlite:///{tmp_path_factory.mktemp('history') / 'mms.db'}"
    with closing(History(url)) as made:
        yield made


FAULTS: dict[str, tuple[Callable[[Memcached], None], Callable[[Memcached], None]]] = {
    "killed": (Memcached.kill, Memcached.start),
    "held": (Memcached.hold, Memcached.go_on),
}


def check(store: CachedAverageStore, history: History, count: int) -> None:
    """Read so many mixed periods, each of which must be right."""
    for _ in range(count):
        window, first, last = history.period()
        found = store.read(BTC_DAILY, window, first, last)
        assert found.body == history.body(0, window, first, last)
        assert found.state.revision == history.revisions[0]


def check_at_once(store: CachedAverageStore, history: History, count: int) -> None:
    """The same from several threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        work = [pool.submit(check, store, history, count // THREADS) for _ in range(THREADS)]
        for future in work:
            future.result(timeout=60)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_read_is_right_while_a_node_fails_and_when_it_is_back(
    history: History, memcached: Memcached, fault: str
) -> None:
    breaks, mends = FAULTS[fault]

    def soon(event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds / 40)

    ring = MemcachedRing([memcached.address], 3_600, wait=soon)
    # No memory of its own, and a revision that is believed: each read asks memcached alone.
    store = CachedAverageStore(
        history.store, block_memory(3_600, capacity=0), ring, check_every=3_600
    )
    with structlog.testing.capture_logs() as logged, closing(ring):
        check_at_once(store, history, 80)
        asked = memcached.stats()["cmd_get"]
        breaks(memcached)
        check_at_once(store, history, 400)
        mends(memcached)
        until(ring.healthy)
        if fault == "held":
            # Of all these reads each thread waited for one at most.
            until(lambda: memcached.stats()["cmd_get"] > asked)
            assert memcached.stats()["cmd_get"] - asked <= THREADS
        check_at_once(store, history, 80)
        assert memcached.stats()["get_hits"] > 0
    assert [(line["event"], line["node"]) for line in logged] == [
        ("cache_broke", memcached.name),
        ("cache_recovered", memcached.name),
    ]
