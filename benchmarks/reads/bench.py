"""What the rows of the table work with: the data, the servers, and what is measured on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.reads import servers
from benchmarks.reads.data import Data, copy_for_peer, queries
from benchmarks.reads.load import Programs
from benchmarks.reads.results import Case, Goal, Reading, Row
from benchmarks.reads.servers import Reply, Server

FASTEST: Final = 60_000
"""Requests per second that nothing here reaches: so many different ones are enough."""

ROUND: Final = 1_000_000
"""Different requests that are set aside for a round."""


@dataclass(frozen=True)
class App:
    """A checkout whose service is measured; `label` follows the name of each of its cases."""

    root: Path
    label: str = ""


@dataclass
class Bench:
    """What the rows work with. Servers are started when a row first needs them, and then shared."""

    folder: Path
    tools: Programs
    data: Data
    seconds: int
    closing: ExitStack
    apps: Sequence[App]
    cases: dict[str, Case] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    started: dict[str, Server] = field(default_factory=dict)
    different: dict[int, list[str]] = field(default_factory=dict)

    def service(self, app: App, *, logged: bool = False, **settings: str) -> Server:
        """The service with the access log off, or with every default and a log that is read."""
        words = ["every default" if logged else "ACCESS_LOG=off"]
        words += [f"{name}={value}" for name, value in settings.items() if name != "DB_URL"]
        words += ["own database"] if "DB_URL" in settings else []
        mine = {"DB_URL": self.data.db_url} | settings
        return self._shared(
            " ".join(words) + app.label,
            lambda name: servers.service(name, self.folder, app.root, logged=logged, **mine),
        )

    def limit(self, name: str, reply: Reply) -> Server:
        """A bare application that sends this reply, head and body."""

        def start(name: str) -> AbstractContextManager[Server]:
            file = self.folder / f"{name}.json"
            kept = [pair for pair in reply.headers if pair[0] not in ("date", "connection")]
            body = reply.body.decode("latin-1")
            file.write_text(
                json.dumps({"status": reply.status, "headers": kept, "body": body}), "utf-8"
            )
            app = "benchmarks.reads.limit:app"
            return servers.plain(name, self.folder, app, LIMIT_REPLY=str(file))

        return self._shared(f"bare {name}", start)

    def peer(self) -> Server:
        """The naive service."""

        def start(name: str) -> AbstractContextManager[Server]:
            url = copy_for_peer(self.data, self.folder / "peer.db")
            variables = {"PEER_DB_URL": url, "TZ": "UTC"}
            return servers.plain(name, self.folder, "benchmarks.reads.peer:app", **variables)

        return self._shared("naive peer", start)

    def paths(self, number: int) -> list[str]:
        """The different requests of a round, the same for every server."""
        if number not in self.different:
            count = FASTEST * self.seconds
            made = queries(self.data.last, number * ROUND, count)
            self.different = {number: [query.path for query in made]}
        return self.different[number]

    def case(self, name: str, unit: str, measure: Callable[[int], Reading]) -> str:
        """Have something measured in each round; returns its name."""
        self.cases[name] = Case(name, unit, measure)
        return name

    def row(
        self, what: str, ours: str, other: str | None, goal: Goal | None, absent: str = ""
    ) -> None:
        """Add a row to the table."""
        self.rows.append(Row(what, ours, other, goal, absent))

    def _shared(self, name: str, start: Callable[[str], AbstractContextManager[Server]]) -> Server:
        if name not in self.started:
            self.started[name] = self.closing.enter_context(start(name))
        return self.started[name]
