"""Somebody has taken over memcached: no wrong body, no error, and no more memory."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from app.core.market import DAY, WINDOWS
from app.db.cache import blocks
from app.db.cache.signing import Signer
from tests.support.figures import say
from tests.support.history import History
from tests.support.memcached import Memcached
from tests.support.patience import until
from tests.support.served import api, get

MB = 1_000_000
GROWTH = 32 * MB
"""How much memory a hostile memcached may cost a process, generously."""

SECRET = "the secret of this test"

Entries = Mapping[str, bytes]
"""Name → signed value."""


@pytest.fixture
def history(sqlite_url: str) -> Iterator[History]:
    with closing(History(sqlite_url)) as made:
        yield made


def swapped(now: Entries, _before: Entries) -> Entries:
    """Each value under another name."""
    return dict(zip(now, [*now.values()][1:] + [*now.values()][:1], strict=True))


def replayed(now: Entries, before: Entries) -> Entries:
    """The values of the revision before under the names of this one."""
    return dict(zip(now, before.values(), strict=True))


def altered(now: Entries, _before: Entries) -> Entries:
    """Another digit in the last row of each."""
    return {name: value[:-2] + b"%d}" % (value[-2:-1] != b"7" and 7) for name, value in now.items()}


def cut(now: Entries, _before: Entries) -> Entries:
    """The first half of each."""
    return {name: value[: len(value) // 2] for name, value in now.items()}


def self_made(now: Entries, _before: Entries) -> Entries:
    """Whole blocks with averages of 1.00, as whoever reads our source makes them."""
    signer = Signer(b"a guess at the secret")
    return {name: signer.signed(name, blocks.pack(_false(value))) for name, value in now.items()}


def signed_without_secret(now: Entries, _before: Entries) -> Entries:
    """The same, signed as where there is no secret."""
    signer = Signer(None)
    return {name: signer.signed(name, blocks.pack(_false(value))) for name, value in now.items()}


def signed_as_the_real_one(now: Entries, _before: Entries) -> Entries:
    """The same, with the signature of the value that stands there."""
    return {name: value[:16] + blocks.pack(_false(value)) for name, value in now.items()}


def _false(signed: bytes) -> blocks.Block:
    stamps = blocks.unpack(memoryview(signed)[16:]).stamps
    return blocks.render((bucket, 10**8) for bucket in stamps)


POISONS: list[Callable[[Entries, Entries], Entries]] = [
    swapped,
    replayed,
    altered,
    cut,
    self_made,
    signed_without_secret,
    signed_as_the_real_one,
]


class Reader:
    """Reads the averages of a history from an API, and compares each body."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.requests = self.wrong = 0

    def all_windows(self, connection: HTTPConnection) -> bool:
        """Read three periods of each window; returns whether all replies show the last commit."""
        end = self._history.last
        periods = [(end - days * DAY, end) for days in (400, 364, 20)]
        versions = {
            self._read(connection, window, *period) for window in WINDOWS for period in periods
        }
        return versions == {len(self._history.versions) - 1}

    def _read(self, connection: HTTPConnection, window: int, first: int, last: int) -> int:
        reply = get(connection, f"/BRLBTC/mms?range={window}&from={first}&to={last}")
        self.requests += 1
        assert reply.status == 200, reply.body
        as_of = datetime.fromisoformat(reply.headers["x-data-as-of"])
        version = self._history.version(int(as_of.timestamp()))
        self.wrong += reply.body != self._history.body(version, window, first, last)
        return version


def entries(memcached: Memcached) -> dict[str, bytes]:
    """All of them; memcached's own list may leave some out for a moment."""
    names: list[str] = []

    def complete() -> bool:
        names[:] = memcached.held()
        return len(names) == memcached.stats()["curr_items"]

    until(complete)
    return {name: memcached.value(name) for name in names}


def test_a_poisoned_memcached_changes_no_body(
    memcached: Memcached, history: History, tmp_path: Path
) -> None:
    settings = {"DB_URL": history.url, "CACHE_URL": memcached.url, "CACHE_SECRET": SECRET}
    reader = Reader(history)
    with (
        api(tmp_path, "one", **settings) as one,
        api(tmp_path, "two", **settings) as two,
        closing(one.connect()) as to_one,
        closing(two.connect()) as to_two,
    ):

        def stored() -> dict[str, bytes]:
            """The entries of a new commit, which `one` stores."""
            old = entries(memcached)
            history.next()
            until(lambda: reader.all_windows(to_one))
            return {name: each for name, each in entries(memcached).items() if name not in old}

        def used() -> int:
            """How many entries `two` has got until it shows that commit."""
            hits = memcached.stats()["get_hits"]
            until(lambda: reader.all_windows(to_two))
            return memcached.stats()["get_hits"] - hits

        def read_poisoned(poison: Callable[[Entries, Entries], Entries]) -> bool:
            """Whether `two` has read three poisoned entries, and healed them.

            On a busy machine a node that is late is left alone for a while.
            """
            before, now = stored(), stored()
            if len(before) < len(WINDOWS) or len(now) < len(WINDOWS):
                return False
            for name, value in poison(now, before).items():
                assert value != now[name]
                memcached.put(name, value)
            return used() >= len(WINDOWS) and now.items() <= entries(memcached).items()

        # What was signed is used: there is something to poison.
        until(lambda: len(stored()) == used() == len(WINDOWS))
        for poison in POISONS:
            until(partial(read_poisoned, poison))
        refused = two.log("cache_entry_refused")
        assert {(line["level"], line["node"]) for line in refused} == {("warning", memcached.name)}
        assert two.log("cache_refused", "request_crashed") == []
    say(
        f"poisoned memcached: {len(POISONS) * len(WINDOWS)} poisoned entries read, "
        f"{reader.requests} requests, {reader.wrong} wrong bodies"
    )
    assert reader.wrong == 0


class _Endless(socketserver.StreamRequestHandler):
    """Talks as memcached does, but its values never end while the server says so."""

    server: _EndlessServer

    def handle(self) -> None:
        for line in self.rfile:
            command, *words = line.split()
            if command in (b"set", b"add"):
                self.rfile.read(int(words[3]) + 2)
            elif command == b"get" and self.server.endless.is_set():
                self._never_end(words[0])
                return
            answers = {b"set": b"STORED", b"add": b"STORED", b"get": b"END", b"incr": b"NOT_FOUND"}
            self.wfile.write(answers.get(command, b"VERSION 1.6.18") + b"\r\n")

    def _never_end(self, name: bytes) -> None:
        part = b"x" * 65_536
        try:
            self.wfile.write(b"VALUE %s 0 10000000000\r\n" % name)
            while True:
                self.wfile.write(part)
                self.server.sent += len(part)
        except OSError:
            self.server.cut += 1


class _EndlessServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Endless)
        self.endless = threading.Event()
        self.sent = self.cut = 0


@contextmanager
def endless_server() -> Iterator[_EndlessServer]:
    with _EndlessServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_values_without_end_take_no_memory_and_reads_are_answered(
    history: History, tmp_path: Path
) -> None:
    reader = Reader(history)
    with (
        endless_server() as server,
        api(
            tmp_path,
            "api",
            DB_URL=history.url,
            CACHE_URL=f"memcached://127.0.0.1:{server.server_address[1]}",
            CACHE_SECRET=SECRET,
        ) as served,
        ExitStack() as stack,
        ThreadPoolExecutor(6) as pool,
    ):
        connections = [stack.enter_context(closing(served.connect())) for _ in range(6)]

        def all_read() -> bool:
            return all(list(pool.map(reader.all_windows, connections)))

        def recovered() -> bool:
            return len(served.log("cache_broke")) == len(served.log("cache_recovered"))

        history.next()
        until(all_read)
        before = served.peak()
        server.endless.set()
        for _ in range(3):
            until(recovered)
            history.next()
            until(all_read)
        grown = served.peak() - before
        assert served.log("request_crashed") == []
    say(
        f"endless memcached: {reader.requests} requests, {reader.wrong} wrong bodies, "
        f"{server.sent / MB:.0f} MB sent in {server.cut} answers, "
        f"peak memory {before / MB:.0f} MB, then {grown / MB:+.1f} MB"
    )
    assert reader.wrong == 0
    assert server.cut >= 3
    assert grown < GROWTH
