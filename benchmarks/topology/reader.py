"""Readers that compare every reply, byte for byte, with what is right at the revision that it shows.

A reply says by `X-Data-As-Of` which version of the market it shows; each version has a newest day of its
own. Its body must be exactly that version's, and its ETag the one that this version has everywhere. A 304
must name a tag that belongs to the version it shows.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, cycle
from typing import Any, Final
from urllib.parse import urlsplit

from app.core.market import WINDOWS, Pair
from benchmarks.topology.market import HISTORY, PAIRS, Market, Version

PATIENCE: Final = 30.0
PAUSE: Final = 0.01
"""Seconds between two reads of one reader."""


@dataclass(frozen=True)
class Target:
    """What can be asked of one pair, and what is right to answer for a version of it."""

    path: str
    pair: Pair
    right: Callable[[Version], bytes]


@dataclass(frozen=True, slots=True)
class Read:
    """One read: when it began, how long it took, and the newest day that it showed.

    `failed` says why there was no answer, `wrong` what was wrong with it; empty where nothing was.
    """

    begun: float
    seconds: float
    pair: Pair | None
    newest: int | None
    failed: str = ""
    wrong: str = ""


@dataclass
class Judge:
    """Knows what is right, and which ETag stands for which version."""

    market: Market
    tags: dict[tuple[str, int], str] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def targets(self) -> list[Target]:
        """Every read that is compared byte for byte."""
        period = f"from={self.market.first}&to={self.market.today}"
        found = []
        for pair in PAIRS:
            for window in WINDOWS:
                path = f"/{pair}/mms?range={window}&{period}"
                found.append(Target(path, pair, lambda v, w=window: v.averages(w)))  # type: ignore[misc]
            path = f"/{pair}/candles?windows=20,50,200&{period}"
            found.append(Target(path, pair, Version.candles))
        return found

    def paths(self) -> list[str]:
        """The same as addresses, for whoever only asks."""
        return [target.path for target in self.targets()]

    def wrong(self, target: Target, reply: Reply, sent: str | None) -> tuple[int, str]:
        """The newest day that the reply shows, and what is wrong with it, if anything."""
        newest = int(datetime.fromisoformat(reply.headers["x-data-as-of"]).timestamp())
        version = self.market.versions[target.pair].get(newest)
        tag = reply.headers["etag"]
        with self.guard:
            known = self.tags.setdefault((target.path, newest), tag)
        if version is None:
            return newest, f"shows {newest}, which was not the newest day of any version"
        if tag != known:
            return newest, f"has {tag} for what had {known}"
        if reply.status == 304:
            return newest, "" if tag == sent else f"is a 304 for {sent} with {tag}"
        right = target.right(version)
        return newest, "" if reply.body == right else _difference(reply.body, right)

    def gaps(self, reply: Reply) -> tuple[int, str]:
        """The same for /gaps: the days that are missing are those that are hidden."""
        said = json.loads(reply.body)
        newest = int(datetime.fromisoformat(said["as_of"]).timestamp())
        missing = (self.market.today - newest) // 86_400
        right: tuple[object, ...] = (HISTORY, HISTORY - missing, missing, [])
        found: tuple[object, ...] = (
            said["expected"],
            said["stored"],
            said["missing"],
            said["wrong_averages"],
        )
        return newest, "" if found == right else f"says {found} and must say {right}"


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A connection that is kept, and made anew after a failure."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._kept = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 0, timeout=PATIENCE
        )

    def ask(self, method: str, path: str, headers: dict[str, str]) -> Reply:
        """One request. Raises OSError or HTTPException."""
        try:
            self._kept.request(method, path, headers=headers)
            got = self._kept.getresponse()
            body = got.read()
        except (OSError, http.client.HTTPException):
            self._kept.close()
            raise
        return Reply(got.status, {k.lower(): v for k, v in got.getheaders()}, body)

    def close(self) -> None:
        """Give it back."""
        self._kept.close()


class Reader:
    """A thread that reads one address after the other, without end, until it is closed."""

    def __init__(self, name: str, url: str, judge: Judge) -> None:
        self.name = name
        self.reads: list[Read] = []
        self._url, self._judge = url, judge
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"reader {name}")
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        targets = [*self._judge.targets(), "gaps"]
        tags: dict[str, str] = {}
        connection = Connection(self._url)
        for number, target in zip(count(), cycle(targets)):
            if self._over.wait(PAUSE):
                break
            self.reads.append(self._read(connection, target, tags, again=number % 3 == 0))
        connection.close()

    def _read(
        self, connection: Connection, target: Any, tags: dict[str, str], *, again: bool
    ) -> Read:
        path = target.path if isinstance(target, Target) else f"/{PAIRS[0]}/gaps"
        pair = target.pair if isinstance(target, Target) else PAIRS[0]
        sent = tags.get(path) if again else None
        begun = time.time()
        try:
            reply = connection.ask("GET", path, {"If-None-Match": sent} if sent else {})
        except (OSError, http.client.HTTPException) as error:
            return Read(begun, time.time() - begun, pair, None, failed=f"{path}: {error!r}")
        took = time.time() - begun
        if reply.status not in (200, 304):
            failed = f"{path}: {reply.status} {reply.body[:200].decode(errors='replace')}"
            return Read(begun, took, pair, None, failed=failed)
        if isinstance(target, Target):
            tags[path] = reply.headers["etag"]
            newest, wrong = self._judge.wrong(target, reply, sent)
        else:
            newest, wrong = self._judge.gaps(reply)
        return Read(begun, took, pair, newest, wrong=wrong and f"{path} {wrong}")


class PriceReader(Reader):
    """Stores a price and reads the history: what was stored must be there, whoever is asked."""

    def _run(self) -> None:
        self.stored = self.refused = 0
        connection = Connection(self._url)
        while not self._over.wait(20 * PAUSE):
            least = self._collect(connection)
            for _ in range(3):
                self.reads.append(self._history(connection, least))
        connection.close()

    def _collect(self, connection: Connection) -> int:
        """The id of the price that was stored, 0 where that was refused."""
        try:
            reply = connection.ask("POST", "/collect-once/BTC", {})
        except (OSError, http.client.HTTPException):
            self.refused += 1
            return 0
        if reply.status != 200:
            self.refused += 1
            return 0
        self.stored += 1
        return int(json.loads(reply.body)["id"])

    def _history(self, connection: Connection, least: int) -> Read:
        begun = time.time()
        path = "/history/BTC?limit=1"
        try:
            reply = connection.ask("GET", path, {})
        except (OSError, http.client.HTTPException) as error:
            return Read(begun, time.time() - begun, None, None, failed=f"{path}: {error!r}")
        took = time.time() - begun
        if reply.status != 200:
            return Read(begun, took, None, None, failed=f"{path}: {reply.status}")
        found = json.loads(reply.body)
        newest = found[0]["id"] if found else 0
        wrong = "" if newest >= least else f"{path} has not the price {least} that was stored"
        return Read(begun, took, None, None, wrong=wrong)


@contextmanager
def reading(readers: list[Reader]) -> Iterator[None]:
    """End them all at the end."""
    try:
        yield
    finally:
        for reader in readers:
            reader.close()


def _difference(found: bytes, right: bytes) -> str:
    at = next((n for n, pair in enumerate(zip(found, right, strict=False)) if len({*pair}) > 1), 0)
    near = slice(max(0, at - 30), at + 30)
    return f"has {found[near]!r} in place of {right[near]!r}"
