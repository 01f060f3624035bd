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

from app.core.market import DAY, WINDOWS
from app.db.cached import CHECK_EVERY
from tests.support.history import History
from tests.support.memcached import Memcached, running
from tests.support.patience import until
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


@pytest.fixture
def sharing(apis: dict[str, Served]) -> dict[str, Served]:
    """The two processes that share a memcached."""
    return {name: apis[name] for name in ("one", "two")}


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


def test_a_thousand_mixed_reads_are_the_same_through_every_cache_while_a_loader_commits(
    history: History, node: Memcached, apis: dict[str, Served]
) -> None:
    first = len(history.versions) - 1
    committed_at = {first: 0.0}
    done = threading.Event()
    least, commits = 1_000, 5
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


def test_processes_that_share_a_memcached_outlive_whatever_happens_to_it(
    history: History, node: Memcached, sharing: dict[str, Served]
) -> None:
    stop = threading.Event()
    before = {name: len(served.log()) for name, served in sharing.items()}

    def keep_reading(served: Served) -> list[Read]:
        """Read while commits make every block new, so that memcached is asked again and again."""
        found: list[Read] = []
        while not stop.is_set():
            found += read(served, [history.period() for _ in range(20)])
        return found

    def commit_until(event: str, times: int) -> None:
        """Let days go by until each process has said this so often."""

        def said() -> bool:
            history.next()
            time.sleep(CHECK_EVERY / 2)
            told = [served.log()[before[name] :] for name, served in sharing.items()]
            return all([line["event"] for line in lines].count(event) >= times for lines in told)

        until(said)

    with ThreadPoolExecutor(4) as pool:
        reading = [pool.submit(keep_reading, served) for served in sharing.values() for _ in "ab"]
        try:
            node.hold()
            commit_until("cache_broke", 1)
            node.go_on()
            commit_until("cache_recovered", 1)
            node.kill()
            commit_until("cache_broke", 2)
            node.start()
            commit_until("cache_recovered", 2)
        finally:
            stop.set()
        reads = [item for future in reading for item in future.result(timeout=60)]

    assert len({shown(history, item) for item in reads}) > 5
    assert len(reads) > 200
    for name, served in sharing.items():
        told = served.log()[before[name] :]
        assert [line["event"] for line in told] == ["cache_broke", "cache_recovered"] * 2, name
        assert {line["node"] for line in told} == {node.name}
    # A node that hangs costs 0.15 s once; the rest of the leeway is this machine's, which may be busy.
    assert max(item.seconds for item in reads) < 2.0


def spoilt(value: bytes, other: bytes) -> list[bytes]:
    """Values that stand under the right keys and are not what was stored there."""
    return [
        b"",
        b"garbage",
        value[:-1],
        value[: len(value) // 2],
        value + b"\0",
        other,
        bytes(len(value)),
        b"[" + value[1:],
        b'[{"timestamp":1,"mms":1.0}]',
        value[:100] + bytes([value[100] ^ 1]) + value[101:],
    ]


def test_garbage_under_the_right_keys_is_never_served(
    history: History, node: Memcached, sharing: dict[str, Served]
) -> None:
    one, two = sharing.values()
    before = {name: len(served.log()) for name, served in sharing.items()}
    for turn in range(4):
        # Both have been here before, so that they know the series and look into memcached.
        periods = [(window, history.last - 300 * DAY, history.last) for window in WINDOWS]
        for served in (one, two):
            read(served, periods)
        history.next()
        time.sleep(CHECK_EVERY)
        node.flush()
        # One process fills memcached, somebody spoils it, and the other one looks there.
        read(one, periods)
        held = {key: node.value(key) for key in node.held()}
        assert len(held) == len(WINDOWS)
        for number, (key, value) in enumerate(held.items()):
            other = next(item for item in held.values() if item != value)
            node.put(key, spoilt(value, other)[(3 * turn + number) % 10])
        hits = node.stats()["get_hits"]
        for item in read(two, periods):
            assert shown(history, item) == len(history.versions) - 1
        assert node.stats()["get_hits"] - hits >= len(WINDOWS)
        # What was garbage has been replaced by what is right.
        assert {key: node.value(key) for key in node.held()} == held
    assert [served.log()[before[name] :] for name, served in sharing.items()] == [[], []]
