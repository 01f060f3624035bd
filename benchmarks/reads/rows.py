"""The rows: which servers they need, what is measured on them, and their goals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.reads import servers
from benchmarks.reads.data import HOT, Data, copy_for_peer, queries, sample
from benchmarks.reads.load import CONNECTIONS, Programs, Wrong, closed_loop
from benchmarks.reads.results import Case, Goal, Reading, Row
from benchmarks.reads.servers import Reply, Server

FASTEST: Final = 60_000
"""Requests per second that nothing here reaches: so many different ones are enough."""

ROUND: Final = 1_000_000
"""Different requests that are set aside for a round."""

_OF_THE_MOMENT: Final = {"date", "x-request-id", "connection"}


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
        name = f"{'every default' if logged else 'ACCESS_LOG=off'}{app.label}"
        settings = {"DB_URL": self.data.db_url, **settings}
        return self._shared(
            f"{name} {' '.join(f'{k}={v}' for k, v in settings.items() if k != 'DB_URL')}".strip(),
            lambda name: servers.service(name, self.folder, app.root, logged=logged, **settings),
        )

    def limit(self, name: str, reply: Reply) -> Server:
        """A bare application that sends this reply, head and body."""

        def start(name: str) -> object:
            file = self.folder / f"{name.replace(' ', '-')}.json"
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

        def start(name: str) -> object:
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

    def _shared(self, name: str, start: Callable[[str], object]) -> Server:
        if name not in self.started:
            self.started[name] = self.closing.enter_context(start(name))  # type: ignore[arg-type]
        return self.started[name]


def traffic(
    bench: Bench,
    server: Server,
    right: Reply,
    headers: Mapping[str, str] | None = None,
    connections: int = CONNECTIONS,
) -> Callable[[int], Reading]:
    """Measure HOT again and again: each reply is as long as `right`, and two are compared with it."""

    def measure(_number: int) -> Reading:
        require(server, server.ask(HOT, headers), right)
        before = server.cpu()
        counted = closed_loop(
            bench.tools.wrk,
            server.url,
            bench.seconds,
            bench.folder,
            path=HOT,
            headers=headers,
            connections=connections,
        )
        after = server.cpu()
        # As many requests as connections may be under way at the end.
        length = wire_length(right)
        if abs(counted.bytes - counted.requests * length) > connections * length:
            raise Wrong(f"{server.name}: replies of another length than {length} bytes")
        require(server, server.ask(HOT, headers), right)
        return reading(before, after, counted.requests, counted.seconds)

    return measure


def different(
    bench: Bench, server: Server, right: Callable[[Server, int], None]
) -> Callable[[int], Reading]:
    """Measure requests no two of which are alike; `right` compares some replies at both ends."""

    def measure(number: int) -> Reading:
        right(server, 2 * number)
        before = server.cpu()
        counted = closed_loop(
            bench.tools.wrk,
            server.url,
            bench.seconds,
            bench.folder,
            paths=bench.paths(number),
        )
        after = server.cpu()
        right(server, 2 * number + 1)
        return reading(before, after, counted.requests, counted.seconds)

    return measure


def reading(
    before: Mapping[int, float], after: Mapping[int, float], requests: int, seconds: float
) -> Reading:
    """The CPU per request in us, and the part of the process that took least of it."""
    taken = [cpu - before.get(pid, 0.0) for pid, cpu in after.items()]
    workers = taken[1:] if len(taken) > 1 else taken
    share = min(workers) / sum(taken) if sum(taken) else 0.0
    return Reading(sum(taken) / requests * 1e6, requests / seconds, share)


def wire_length(reply: Reply) -> int:
    """The bytes of the whole reply as it is sent by HTTP/1.1."""
    reason = {200: "OK", 304: "Not Modified"}[reply.status]
    head = f"HTTP/1.1 {reply.status} {reason}\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in reply.headers if name != "connection"
    )
    return len(head) + 2 + len(reply.body)


def require(server: Server, reply: Reply, right: Reply) -> None:
    """Raise Wrong unless the reply is the right one, but for its date and its id."""
    if (reply.status, reply.body) != (right.status, right.body):
        raise Wrong(f"{server.name}: {HOT} has another reply: {reply.status} {reply.body[:80]!r}")
    if _lasting(reply) != _lasting(right):
        raise Wrong(f"{server.name}: {HOT} has other headers: {reply.headers}")


def _lasting(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers if name not in _OF_THE_MOMENT}


def hot_reply(bench: Bench, server: Server) -> Reply:
    """The service's reply to HOT, whose body is right. Raises Wrong where it is not."""
    reply = server.ask(HOT)
    if reply.status != 200 or reply.body != bench.data.hot():
        raise Wrong(f"{server.name}: {HOT} is answered {reply.status} with {reply.body[:80]!r}")
    return reply


def hot(bench: Bench) -> None:
    """The same 365 rows again and again: the service, the limit, the naive peer."""
    for app in bench.apps:
        for logged, goals in ((False, (0.88, 70.0)), (True, (0.50, None))):
            server = bench.service(app, logged=logged)
            right = hot_reply(bench, server)
            ours = bench.case(f"hot, {server.name}", "µs CPU", traffic(bench, server, right))
            _against_limit(bench, right)
            bench.row(f"hot, {server.name}", ours, "hot, bare", Goal(goals[0]))
            if goals[1]:
                peer = bench.peer()
                _require_same_data(bench, peer)
                other = bench.case("hot, naive peer", "µs CPU", traffic(bench, peer, peer.ask(HOT)))
                bench.row(f"hot, {server.name}", ours, other, Goal(goals[1]))


def _against_limit(bench: Bench, right: Reply) -> str:
    limit = bench.limit("hot", right)
    return bench.case("hot, bare", "µs CPU", traffic(bench, limit, limit.ask(HOT)))


def all_different(bench: Bench) -> None:
    """The same with ever other requests."""

    def service_right(server: Server, seed: int) -> None:
        for query in sample(bench.data.last, seed, 20):
            reply = server.ask(query.path)
            right = bench.data.right(query.pair, query.window, query.first, query.last)
            if reply.status != 200 or reply.body != right:
                raise Wrong(f"{server.name}: {query.path}: {reply.status} {reply.body[:80]!r}")

    def peer_right(server: Server, seed: int) -> None:
        for query in sample(bench.data.last, seed, 3):
            right = bench.data.right(query.pair, query.window, query.first, query.last)
            if json.loads(server.ask(query.path).body) != json.loads(right):
                raise Wrong(f"{server.name}: {query.path} has other data")

    for app in bench.apps:
        server = bench.service(app)
        limit = bench.limit("hot", hot_reply(bench, server))
        peer = bench.peer()
        ours = bench.case(
            f"different, {server.name}", "µs CPU", different(bench, server, service_right)
        )
        bare = bench.case(
            "different, bare", "µs CPU", different(bench, limit, lambda _server, _seed: None)
        )
        naive = bench.case("different, naive peer", "µs CPU", different(bench, peer, peer_right))
        bench.row(f"all different, {server.name}", ours, bare, Goal(0.60))
        bench.row(f"all different, {server.name}", ours, naive, Goal(40.0))


def _require_same_data(bench: Bench, peer: Server) -> None:
    reply = peer.ask(HOT)
    if reply.status != 200 or json.loads(reply.body) != json.loads(bench.data.hot()):
        raise Wrong(f"{peer.name}: {HOT} is answered {reply.status} with {reply.body[:80]!r}")


ROWS: Final[dict[str, Callable[[Bench], None]]] = {"hot": hot, "different": all_different}
"""What can be chosen by name, in the order of the table."""
