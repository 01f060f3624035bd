"""What a memcached that fails adds to a read of averages: at its first failure, and from then on.

A year of daily averages is read from SQLite without a cache, and through a real memcached alone (no
cache in the process, a revision that is believed) while that is well, held by SIGSTOP, or killed. Reads
of all kinds take turns, so that the machine's own ups and downs meet all alike.
`python -m benchmarks.cache [--rounds N]`
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog

from app.core.ports import AverageStore
from app.db.cache.memcached import MemcachedRing
from app.db.cache.memory import MemoryCache
from app.db.cached import CachedAverageStore
from tests.support.candles import BTC, DAY
from tests.support.history import History
from tests.support.memcached import Memcached, program, running
from tests.support.patience import until

ROUNDS: Final = 40
READS: Final = 50
"""Reads of each kind a round."""


def soon(event: threading.Event, seconds: float) -> bool:
    """Ask a broken node forty times as often as in earnest: what is measured is not the waiting."""
    return event.wait(seconds / 40)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"failures of each kind ({ROUNDS})"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args(argv)
    path = program()
    if path is None:
        print("memcached is not installed")
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("CRITICAL"))
    with (
        tempfile.TemporaryDirectory() as folder,
        running(path) as node,
        closing(History(f"sqlite:///{Path(folder) / 'mms.db'}")) as history,
    ):
        times = measured(history, node, options.rounds)
    found = {name: figures(seconds) for name, seconds in times.items()}
    plain = found["none"]
    print(f"{'milliseconds':28}{'p50':>9}{'p99':>9}{'p99 added':>12}")
    for name, (middle, high) in found.items():
        print(f"{name:28}{middle:9.2f}{high:9.2f}{high - plain[1]:12.2f}")
    if options.json:
        print(json.dumps({name: {"p50": a, "p99": b} for name, (a, b) in found.items()}))
    return 0


def measured(history: History, node: Memcached, rounds: int) -> dict[str, list[float]]:
    """The seconds that reads of each kind took."""
    ring = MemcachedRing([node.address], 3_600, wait=soon)
    memory = CachedAverageStore(history.store, MemoryCache(3_600), check_every=3_600)
    shared = CachedAverageStore(history.store, ring, check_every=3_600)
    first, last = history.last - 364 * DAY.seconds, history.last
    times: dict[str, list[float]] = {}

    def read(name: str, store: AverageStore, count: int = READS) -> None:
        for _ in range(count):
            begun = time.perf_counter()
            assert store.read(BTC, DAY, 20, first, last).count == 365
            times.setdefault(name, []).append(time.perf_counter() - begun)

    faults: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "held": (node.hold, node.go_on),
        "killed": (node.kill, node.start),
    }
    with closing(ring):
        for _ in range(rounds):
            for fault, (breaks, mends) in faults.items():
                shared.read(BTC, DAY, 20, first, last)
                read("none", history.store)
                read("memory", memory)
                read("memcached", shared)
                breaks()
                read(f"memcached {fault}, first", shared, 1)
                read(f"memcached {fault}, then", shared)
                mends()
                until(ring.healthy)
    return times


def figures(seconds: list[float]) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds."""
    return statistics.median(seconds) * 1e3, statistics.quantiles(seconds, n=100)[98] * 1e3


if __name__ == "__main__":
    sys.exit(main())
