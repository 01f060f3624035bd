"""Rates of requests over a real memcached, in one process and in two."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
import structlog

from app.core.setting_edge import Rate
from app.db.cache.memcached import MemcachedRing
from app.db.cache.request_rate import LocalRequestRate
from tests.support.memcached import Memcached
from tests.support.patience import until
from tests.support.served import api, get

NOW = 1_700_000_040


def soon(event: threading.Event, seconds: float) -> bool:
    return event.wait(seconds / 40)


def send(rate: LocalRequestRate, client: str, count: int) -> int:
    """Send so many requests; returns how many pass."""
    return sum(rate.take(client)[0] >= 0 for _ in range(count))


def test_a_count_is_one_for_all_and_ends_by_itself(memcached: Memcached) -> None:
    one, other = (MemcachedRing([memcached.address], 60) for _ in range(2))
    with closing(one), closing(other):
        assert one.count("mms:rate:x", 3, 5, 120) == 5  # there was none
        assert other.count("mms:rate:x", 2, 9, 120) == 7
        assert one.count("mms:rate:x", 1, 6, 120) == 8
        assert one.count("mms:rate:short", 1, 1, 1) == 1
        until(lambda: other.count("mms:rate:short", 1, 1, 60) == 1)


def test_a_count_that_somebody_has_replaced_is_refused_and_reads_go_on(
    memcached: Memcached,
) -> None:
    with (
        structlog.testing.capture_logs() as logged,
        closing(MemcachedRing([memcached.address], 60, b"a secret")) as ring,
    ):
        rates = [LocalRequestRate("default", Rate(10, 60), lambda: NOW) for _ in range(2)]
        assert (send(rates[0], "a", 4), send(rates[1], "a", 4)) == (4, 4)
        assert rates[0].merge(ring)
        ring.set("key", b"value")
        [count] = [name for name in memcached.held() if name.startswith("mms:rate:")]
        for planted in (b"no number", b"18446744073709551615", b"9223372036854775808"):
            memcached.put(count, planted)
            assert not rates[1].merge(ring)
        # Each goes on by its own counts, and reads are not touched.
        assert rates[1].left("a")[0] == 6
        assert bytes(ring.get("key") or b"") == b"value"
        assert ring.healthy()
    assert [line["event"] for line in logged] == ["cache_refused", "cache_entry_refused"]


@pytest.mark.parametrize(
    ("breaks", "mends"),
    [(Memcached.kill, Memcached.start), (Memcached.hold, Memcached.go_on)],
    ids=["killed", "held"],
)
def test_while_memcached_is_away_each_counts_for_itself_and_later_they_merge_again(
    memcached: Memcached, breaks: Callable[[Memcached], None], mends: Callable[[Memcached], None]
) -> None:
    with ExitStack() as stack, structlog.testing.capture_logs() as logged:
        rings = [MemcachedRing([memcached.address], 60, wait=soon) for _ in range(2)]
        rates = [LocalRequestRate("default", Rate(100, 60), lambda: NOW) for _ in rings]
        for ring in rings:
            stack.callback(ring.close)

        def merge() -> list[bool]:
            return [rate.merge(ring) for rate, ring in zip(rates, rings, strict=True)]

        def together(client: str) -> int:
            """What is left to `first` after 30 requests to each, and one more."""
            assert (send(first, client, 30), send(second, client, 30)) == (30, 30)
            assert merge() == [True, True]
            assert send(first, client, 1) == 1
            assert merge() == [True, True]
            return first.left(client)[0]

        first, second = rates
        assert together("a") == 39
        breaks(memcached)
        assert send(first, "a", 5) == 5
        assert not first.merge(rings[0])
        assert (send(first, "b", 101), send(second, "b", 101)) == (100, 100)
        assert not second.merge(rings[1])
        mends(memcached)
        until(lambda: all(ring.healthy() for ring in rings))
        assert together("c") == 39
        # What it knew is not lost. What a held memcached has read may be counted twice.
        assert first.left("a")[0] in (34, 29)
    assert sorted(line["event"] for line in logged) == ["cache_broke"] * 2 + ["cache_recovered"] * 2


def test_two_processes_limit_a_client_together_and_read_on_without_memcached(
    memcached: Memcached, tmp_path: Path
) -> None:
    limit = {"CACHE_URL": memcached.url, "RATE_LIMIT": "40/day"}
    with (
        api(tmp_path, "one", **limit) as one,
        api(tmp_path, "two", **limit) as two,
        closing(one.connect()) as to_one,
        closing(two.connect()) as to_two,
    ):
        assert [get(to_one, "/pairs").status for _ in range(30)] == [200] * 30
        for _ in range(3):  # each learns of the other's when it adds its own
            merged = partial(_merged_since, memcached, memcached.stats()["incr_hits"])
            assert get(to_two, "/pairs").status == 200
            until(merged)
        assert get(to_two, "/pairs").headers["ratelimit"].startswith('"default";r=6;')
        memcached.kill()
        assert [get(to_two, "/pairs").status for _ in range(8)] == [200] * 6 + [429] * 2
        assert get(to_one, "/pairs").status == 200
        assert get(to_two, "/healthz").status == 200
        errors = [line for line in one.log() + two.log() if line["level"] == "error"]
        assert errors == []


def _merged_since(memcached: Memcached, hits: int) -> bool:
    return memcached.stats()["incr_hits"] > hits
