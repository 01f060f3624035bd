"""API processes in front of one database and one memcached: the same bytes from all, never late."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.history import History
from tests.support.memcached import Memcached, running
from tests.support.served import Reply, Served, api, get

LATEST = 1.0
"""Seconds after a commit by which every read must see it."""


@dataclass(frozen=True)
class Read:
    """One read: what was asked when, in unix seconds, what came back, and after how long."""

    asked_at: float
    seconds: float
    period: tuple[int, int, int]
    reply: Reply


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes of this module have their files."""
    return tmp_path_factory.mktemp("memcached-api")


@pytest.fixture(scope="module")
def history(folder: Path) -> Iterator[History]:
    """A database with 600 days and their averages; each test goes on from where it finds it."""
    with closing(History(f"sqlite:///{folder / 'mms.db'}")) as made:
        yield made


@pytest.fixture(scope="module")
def node(memcached_program: Path) -> Iterator[Memcached]:
    """The memcached that the processes share."""
    with running(memcached_program) as made:
        yield made


@pytest.fixture(scope="module")
def apis(folder: Path, history: History, node: Memcached) -> Iterator[dict[str, Served]]:
    """Processes in front of the same database, two of them with the shared memcached."""
    caches = {"none": "none://", "memory": "memory://", "one": node.url, "two": node.url}
    with ExitStack() as stack, ThreadPoolExecutor(len(caches)) as pool:
        starting = {
            name: pool.submit(
                stack.enter_context, api(folder, name, CACHE_URL=url, ALLOWED_PAIRS="BRLBTC")
            )
            for name, url in caches.items()
        }
        yield {name: future.result() for name, future in starting.items()}


def target(window: int, first: int, last: int) -> str:
    return f"/BRLBTC/mms?range={window}&from={first}&to={last}"


def read(served: Served, periods: list[tuple[int, int, int]]) -> list[Read]:
    """Read one period after the other."""
    found = []
    with closing(served.connect()) as connection:
        for period in periods:
            asked_at = time.time()
            reply = get(connection, target(*period))
            found.append(Read(asked_at, time.time() - asked_at, period, reply))
    return found


def shown(history: History, found: Read) -> int:
    """The number of the commit that the reply shows, headers and body alike; it must show one."""
    assert found.reply.status == 200, found.reply
    as_of = datetime.fromisoformat(found.reply.headers["x-data-as-of"])
    version = history.version(int(as_of.timestamp()))
    assert found.reply.body == history.body(version, *found.period), found.period
    return version


def test_mixed_reads_are_the_same_through_every_cache_while_a_loader_commits(
    history: History, node: Memcached, apis: dict[str, Served]
) -> None:
    first = len(history.versions) - 1
    committed_at = {first: 0.0}
    done = threading.Event()
    least, commits = 200, 3
    pieces = [[history.period() for _ in range(50)] for _ in range(least // 50)]

    def keep_reading(served: Served) -> list[Read]:
        found: list[Read] = []
        for piece in pieces:
            found += read(served, piece)
        while not done.is_set():
            found += read(served, pieces[0])
        return found

    with ThreadPoolExecutor(len(apis)) as pool:
        reading = {name: pool.submit(keep_reading, served) for name, served in apis.items()}
        for _ in range(commits):
            history.next()
            committed_at[len(history.versions) - 1] = time.time()
            time.sleep(LATEST / 2)
        time.sleep(LATEST)
        done.set()
        reads = {name: future.result(timeout=60) for name, future in reading.items()}
    # Nothing is committed any more: all say the same, in body and headers.
    final = {name: read(served, pieces[-1]) for name, served in apis.items()}

    late = []
    for name, found in reads.items():
        assert len(found) >= least
        for item in found:
            owed = max(v for v, at in committed_at.items() if at + LATEST <= item.asked_at)
            if shown(history, item) < owed:
                late.append((name, owed, item.asked_at - committed_at[owed]))
    assert late == []
    for name, found in final.items():
        for item, plain in zip(found, final["none"], strict=True):
            assert item.reply.body == plain.reply.body
            assert shown(history, item) == first + commits
            assert item.reply.headers.keys() == plain.reply.headers.keys()
            for header in ("etag", "x-data-as-of", "x-data-missing", "x-data-stale"):
                assert item.reply.headers[header] == plain.reply.headers[header], name
    assert node.stats()["get_hits"] > 0
