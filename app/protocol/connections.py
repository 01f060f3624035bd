"""All connections of one process: how many there may be, and which have waited too long.

One timer looks at all of them, so a request costs no timer of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Final, Protocol

from app.core.logging import structlog
from app.core.seldom import Seldom
from app.protocol.limits import Limits

log = structlog.get_logger()

TICK: Final = 0.5
"""Seconds between two looks at all connections."""

A_TURN: Final = 50
"""Connections that are looked at in one turn of the loop: each may get a reply that takes time."""

MOST_UNSENT: Final = 64 * 1024 * 1024
"""The most bytes of replies that wait for slow readers. Beyond, the slowest is cut."""


class Connection(Protocol):
    """What this module knows of a connection.

    `key` says whose it is; None where the limit per client does not count. `silent_since` is
    since when the service has waited for the client, None while it does not.
    """

    @property
    def key(self) -> str | None: ...
    @property
    def silent_since(self) -> float | None: ...

    def unsent(self) -> int:
        """How many bytes of replies are in memory because the client has not taken all of them."""

    def look(self, now: float) -> None:
        """Act where the client has taken too long."""

    def cut(self) -> None:
        """Close at once, without a reply."""


class Connections:
    """The connections of one event loop.

    `clock` gives seconds. `now` is its time at the last look, or at the last new connection.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.now = clock()
        self._clock = clock
        self._open: dict[Connection, None] = {}
        self._streaming: dict[Connection, None] = {}
        self._of: dict[str, dict[Connection, None]] = {}
        self._stuck: dict[Connection, None] = {}
        self._silent: list[tuple[float, Connection]] = []
        self._looking = False
        self._told = Seldom(clock)

    def opened(self, connection: Connection) -> bool:
        """Count a connection; returns whether it may stay.

        Beyond a limit, the one that has been silent longest is cut. Where all are at work, the new
        one cannot stay.
        """
        self.now = self._clock()
        client = connection.key
        limits = self.limits
        own = () if client is None else self._of.get(client, ())
        stays = True
        if len(own) >= limits.per_client:
            self._tell("MAX_CONNECTIONS_PER_CLIENT", limits.per_client, connection)
            stays = self._cut_last(_silent(own))
        elif len(self._open) >= limits.connections:
            self._tell("MAX_CONNECTIONS", limits.connections, connection)
            # A list for each that comes would hold up all others, where thousands are open.
            stays = self._cut_last(self._silent)
            if not stays:
                self._silent = _silent(self._open)
                stays = self._cut_last(self._silent)
        if stays:
            self._open[connection] = None
            if client is not None:
                self._of.setdefault(client, {})[connection] = None
            self._look_later()
        return stays

    def streams(self, connection: Connection) -> None:
        """Count the connection apart: its reply is a stream of events (`app.api.streams`)."""
        if self._open.pop(connection, self) is None:
            self._streaming[connection] = None

    def rests(self, connection: Connection) -> None:
        """Count the connection among the others again: its stream has ended."""
        if self._streaming.pop(connection, self) is None:
            self._open[connection] = None

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.pop(connection, None)
        self._streaming.pop(connection, None)
        self._stuck.pop(connection, None)
        if connection.key is not None:
            own = self._of.get(connection.key, {})
            own.pop(connection, None)
            if not own:
                self._of.pop(connection.key, None)

    def stuck(self, connection: Connection) -> None:
        """Note that the client takes its reply slowly."""
        self._stuck.setdefault(connection)
        while len(self._stuck) > 1 and sum(one.unsent() for one in self._stuck) > MOST_UNSENT:
            slowest = next(iter(self._stuck))
            del self._stuck[slowest]
            slowest.cut()

    def flows(self, connection: Connection) -> None:
        """Note that the client has taken what there was."""
        self._stuck.pop(connection, None)

    def look(self) -> None:
        """Look at every connection: at some at once, and at the others in the loop's next turns."""
        self.now = self._clock()
        self._silent = []
        self._look_at([*self._open, *self._streaming])

    def _look_at(self, connections: list[Connection]) -> None:
        for connection in connections[:A_TURN]:
            if connection in self._open or connection in self._streaming:
                connection.look(self.now)
        rest = connections[A_TURN:]
        if rest:
            asyncio.get_running_loop().call_soon(self._look_at, rest)

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(TICK, self._look)

    def _look(self) -> None:
        self._looking = False
        if self._open or self._streaming:
            self._look_later()  # whatever this look meets
        self.look()

    def _cut_last(self, silent: list[tuple[float, Connection]]) -> bool:
        """Cut the last one of the list that is still silent; returns whether there was one."""
        while silent:
            since, longest = silent.pop()
            if longest in self._open and longest.silent_since == since:
                # Before the loop tells that it is lost: of many that come in one turn, each is to
                # make room.
                self.closed(longest)
                longest.cut()
                return True
        return False

    def _tell(self, setting: str, most: int, new: Connection) -> None:
        if times := self._told.due(setting):
            log.warning(
                "connections_limited", setting=setting, most=most, client=new.key, times=times
            )


def _silent(connections: Iterable[Connection]) -> list[tuple[float, Connection]]:
    """The silent ones of these connections and since when, the longest silent one last."""
    pairs = [(since, one) for one in connections if (since := one.silent_since) is not None]
    return sorted(pairs, key=itemgetter(0), reverse=True)
