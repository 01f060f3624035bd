"""PostgreSQL connections that do not wait for ever for an answer.

A server that is stopped, or whose machine is, keeps its connections open and says nothing. A limit that
the server itself holds (`statement_timeout`) does not help then, and neither do TCP's: its system still
acknowledges what it gets. So the waiting ends here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine, event

Result = TypeVar("Result")

LOOK_EVERY: Final = 0.1
"""Seconds between two looks of a waiting connection at whether it should go on."""


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time, or was found to be away meanwhile."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits at most `longest` seconds for an answer.

    It also stops when the number that `losses` returns changes while it waits.
    """

    longest: float = math.inf
    losses: Callable[[], int] = staticmethod(lambda: 0)

    def wait(
        self, gen: PQGen[Result], interval: float = LOOK_EVERY, timeout: float | None = None
    ) -> Result:
        """Let the driver wait, within bounds. Raises NoAnswer where they are reached."""
        bounded = _bounded(gen, time.monotonic() + self.longest, self.losses)
        try:
            return super().wait(bounded, interval, timeout)
        except NoAnswer:
            # The answer may come later, in the middle of another one: the connection is of no use.
            self.pgconn.finish()
            raise


def _bounded(gen: PQGen[Result], until: float, losses: Callable[[], int]) -> PQGen[Result]:
    """The driver's own steps; it is given the chance to go on at least every `LOOK_EVERY` seconds."""
    before = losses()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and (losses() != before or time.monotonic() >= until):
                raise NoAnswer("the server does not answer in time")
            wanted = gen.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result


def bound(engine: Engine, longest: float, losses: Callable[[], int]) -> None:
    """Give an engine for PostgreSQL such connections from now on."""

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> Any:
        made = BoundedConnection.connect(*arguments, **parameters)
        made.longest, made.losses = longest, losses
        return made
