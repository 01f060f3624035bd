"""Readers that compare every reply, byte for byte, with the right one at its revision.

`X-Data-As-Of` says which version of the market a reply shows: each version has its own newest day.
The body must be exactly that version's, and the ETag the one that this version has everywhere. A
304 must name a tag of the version that it shows.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import cycle
from typing import Final
from urllib.parse import urlsplit

from app.core.market import WINDOWS, Pair
from benchmarks.topology.market import PAIRS, Market, Version

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
    pair: Pair
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
        targets = []
        for pair in PAIRS:
            for window in WINDOWS:
                path = f"/{pair}/mms?range={window}&{period}"
                targets.append(Target(path, pair, lambda v, w=window: v.averages(w)))  # type: ignore[misc]
            path = f"/{pair}/candles?windows=20,50,200&{period}"
            targets.append(Target(path, pair, Version.candles))
        return targets

    def paths(self) -> list[str]:
        """The same as addresses, for whoever only asks."""
        return [target.path for target in self.targets()]

    def wrong(self, target: Target, reply: Reply, sent: str | None) -> tuple[int, str]:
        """The newest day that the reply shows, and what is wrong with it, if anything."""
        newest = int(datetime.fromisoformat(reply.headers["x-data-as-of"]).timestamp())
        version = self.market.versions[target.pair].get(newest)
        tag = reply.headers["etag"]
        with self.guard:
            first = self.tags.setdefault((target.path, newest), tag)
        if version is None:
            return newest, f"shows {newest}, which was not the newest day of any version"
        if tag != first:
            return newest, f"has {tag} for what had {first}"
        if reply.status == 304:
            return newest, "" if tag == sent else f"is a 304 for {sent} with {tag}"
        right = target.right(version)
        return newest, "" if reply.body == right else _difference(reply.body, right)


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

    def ask(self, path: str, headers: dict[str, str]) -> Reply:
        """One read. Raises OSError or HTTPException."""
        try:
            self._kept.request("GET", path, headers=headers)
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
        tags: dict[str, str] = {}
        connection = Connection(self._url)
        for number, target in enumerate(cycle(self._judge.targets())):
            if self._over.wait(PAUSE):
                break
            sent = tags.get(target.path) if number % 3 == 0 else None
            self.reads.append(self._read(connection, target, tags, sent))
        connection.close()

    def _read(
        self, connection: Connection, target: Target, tags: dict[str, str], sent: str | None
    ) -> Read:
        begun = time.time()
        failed = wrong = ""
        newest = None
        try:
            reply = connection.ask(target.path, {"If-None-Match": sent} if sent else {})
            took = time.time() - begun
            if reply.status in (200, 304):
                tags[target.path] = reply.headers["etag"]
                newest, wrong = self._judge.wrong(target, reply, sent)
            else:
                failed = f"{reply.status} {reply.body[:200].decode(errors='replace')}"
        except (OSError, http.client.HTTPException) as error:
            took, failed = time.time() - begun, repr(error)
        return Read(
            begun,
            took,
            target.pair,
            newest,
            failed and f"{target.path}: {failed}",
            wrong and f"{target.path} {wrong}",
        )


@contextmanager
def reading(readers: list[Reader]) -> Iterator[None]:
    """End them all at the end."""
    try:
        yield
    finally:
        for reader in readers:
            reader.close()


def _difference(body: bytes, right: bytes) -> str:
    at = next((n for n, pair in enumerate(zip(body, right, strict=False)) if len({*pair}) > 1), 0)
    near = slice(max(0, at - 30), at + 30)
    return f"has {body[near]!r} in place of {right[near]!r}"
