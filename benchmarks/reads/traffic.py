"""Closed loops: as many requests as a server answers, and the CPU that each of them takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from benchmarks.reads.bench import Bench
from benchmarks.reads.data import HOT
from benchmarks.reads.load import CONNECTIONS, Wrong, closed_loop
from benchmarks.reads.results import Reading
from benchmarks.reads.servers import Reply, Server

_OF_THE_MOMENT: Final = {"date", "x-request-id", "connection", "ratelimit"}


def traffic(
    bench: Bench,
    server: Server,
    right: Reply,
    headers: Mapping[str, str] | None = None,
    connections: int = CONNECTIONS,
) -> Callable[[int], Reading]:
    """Measure HOT again and again: each reply is as long as `right`, and two are equal to it."""

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
        # As many requests as connections may be under way at the end. Numbers in RateLimit have
        # more or fewer digits.
        length = wire_length(right)
        slack = connections * length + 2 * counted.requests
        if abs(counted.bytes - counted.requests * length) > slack:
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
    """The CPU per request in us; `share` is that of the second of the busiest two processes."""
    taken = [cpu - before.get(pid, 0.0) for pid, cpu in after.items()]
    second = sorted(taken)[-2:][0]
    return Reading(sum(taken) / requests * 1e6, requests / seconds, second / max(sum(taken), 0.01))


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
