"""The rows of the table: which servers they need, what is measured on them, and their goals."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Final

from benchmarks.reads.bench import Bench
from benchmarks.reads.data import HOT, sample
from benchmarks.reads.load import Wrong
from benchmarks.reads.results import Goal
from benchmarks.reads.servers import Reply, Server
from benchmarks.reads.start import start
from benchmarks.reads.traffic import different, hot_reply, traffic
from benchmarks.reads.waits import crowd, half_rate
from benchmarks.reads.warm import memcached

CPU: Final = "µs CPU"


def hot(bench: Bench) -> None:
    """The same 365 rows again and again: the service, the limit, the naive peer."""
    for app in bench.apps:
        for logged, goals in ((False, (0.88, 70.0)), (True, (0.50, None))):
            server = bench.service(app, logged=logged)
            right = hot_reply(bench, server)
            ours = bench.case(f"hot, {server.name}", CPU, traffic(bench, server, right))
            bare = _against_limit(bench, right)
            bench.row(f"hot, {server.name}", ours, bare, Goal(goals[0]))
            if goals[1]:
                peer = bench.peer()
                _require_same_data(bench, peer)
                other = bench.case("hot, naive peer", CPU, traffic(bench, peer, peer.ask(HOT)))
                bench.row(f"hot, {server.name}", ours, other, Goal(goals[1]))


def _against_limit(bench: Bench, right: Reply) -> str:
    """The bare application with the first checkout's reply: the limit of every checkout."""
    name = "hot, bare"
    if name not in bench.cases:
        bench.case(name, CPU, traffic(bench, bench.limit("hot", right), right))
    return name


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
        ours = bench.case(f"different, {server.name}", CPU, different(bench, server, service_right))
        bare = bench.case(
            "different, bare", CPU, different(bench, limit, lambda _server, _seed: None)
        )
        naive = bench.case("different, naive peer", CPU, different(bench, peer, peer_right))
        bench.row(f"all different, {server.name}", ours, bare, Goal(0.60))
        bench.row(f"all different, {server.name}", ours, naive, Goal(40.0))


def _require_same_data(bench: Bench, peer: Server) -> None:
    reply = peer.ask(HOT)
    if reply.status != 200 or json.loads(reply.body) != json.loads(bench.data.hot()):
        raise Wrong(f"{peer.name}: {HOT} is answered {reply.status} with {reply.body[:80]!r}")


def conditional(bench: Bench) -> None:
    """The hot request with If-None-Match or gzip, beside the bare hot reply and beside its own."""
    for app in bench.apps:
        server = bench.service(app)
        full = hot_reply(bench, server)
        bare = _against_limit(bench, full)
        for name, headers, goal, right in (
            ("304", {"If-None-Match": full.header("etag")}, 1.2, _is_304),
            ("gzip", {"Accept-Encoding": "gzip"}, 0.85, _is_gzip),
        ):
            what = f"{name}, {server.name}"
            # What the service keeps ready may be there from the second time on.
            reply = [server.ask(HOT, headers) for _ in range(3)][-1]
            if problem := right(reply, full):
                bench.row(what, what, bare, Goal(goal), absent=f"absent: {problem}")
                continue
            ours = bench.case(what, CPU, traffic(bench, server, reply, headers))
            limit = bench.limit(f"{name}{app.label}", reply)
            same = bench.case(
                f"{name}, bare{app.label}", CPU, traffic(bench, limit, reply, headers)
            )
            bench.row(what, ours, bare, Goal(goal))
            bench.row(what, ours, same, None)


def _is_304(reply: Reply, _full: Reply) -> str:
    return "" if reply.status == 304 else f"answered with {reply.status}"


def _is_gzip(reply: Reply, full: Reply) -> str:
    if reply.header("content-encoding") != "gzip":
        return "the reply is not compressed"
    if gzip.decompress(reply.body) != full.body:
        raise Wrong(f"{HOT} is another reply with gzip")
    return ""


def workers(bench: Bench) -> None:
    """Two workers on the server's core at 128 connections, beside one."""
    for app in bench.apps:
        one, two = bench.service(app), bench.service(app, WORKERS="2")
        what = f"128 connections, {two.name}"
        goal = Goal(0.95, least_share=0.30)
        if len(two.workers()) == 1:
            bench.row(what, what, one.name, goal, absent="absent: there is one process")
            continue
        right = hot_reply(bench, one)
        ours, other = (
            bench.case(
                f"128 connections, {server.name}", CPU, traffic(bench, server, right, None, 128)
            )
            for server in (two, one)
        )
        bench.row(what, ours, other, goal)


ROWS: Final[dict[str, Callable[[Bench], None]]] = {
    "hot": hot,
    "different": all_different,
    "conditional": conditional,
    "rate": half_rate,
    "crowd": crowd,
    "memcached": memcached,
    "start": start,
    "workers": workers,
}
"""What can be chosen by name, in the order of the table."""
