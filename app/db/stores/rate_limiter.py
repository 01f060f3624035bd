"""A rate limiter per host, shared by all processes on one database.

One row per host holds the time of the next turn. A process takes a due turn with one atomic
statement; the others wait for the next turn and try again. Turns are never reserved: a holder that
overslept or died would let two requests out together, or none. Spacing counts from the last request
that was really sent. A closure also applies to requests that are already waiting.

The statement that takes a turn also counts it, per calendar month (UTC). A clock that is set to
another month begins a new count.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, TextClause, text

from app.core import waits
from app.core.errors import rate_limited
from app.core.ports import Clock
from app.db.session import SQLITE, for_reading, reading, transaction
from app.domain.call_budget import CallBudget, Month

LONGEST_CLOSURE: Final = 3_600.0
"""The longest closure, in seconds, whatever the host asks for; see `app.sources.retry`."""

_SECOND: Final = 1_000_000
"""The columns are in microseconds."""

_SLACK: Final = 60 * _SECOND
"""How far a stored time may exceed the latest valid one before it counts as a clock error."""

_ANY: Final = 2**62
"""More calls than any month has."""

_POSTGRES_NOW: Final = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"

# An impossible time blocks nobody: the clock was set back after the time was written.
_READ: Final = """
    SELECT {now},
        CASE WHEN next_at > {now} + :farthest_turn THEN 0 ELSE next_at END,
        CASE WHEN closed_until > {now} + :farthest_closure THEN 0 ELSE closed_until END,
        month, calls
    FROM gates WHERE host = :host"""

# The month was read before; where the turn falls into another one, nobody takes it.
_TAKE: Final = """
    UPDATE gates SET next_at = {now} + :period, month = :month,
        calls = CASE WHEN month = :month THEN calls + 1 ELSE 1 END
    WHERE host = :host
        AND (next_at <= {now} OR next_at > {now} + :farthest_turn)
        AND (closed_until <= {now} OR closed_until > {now} + :farthest_closure)
        AND {now} >= :month_first AND {now} < :month_end
        AND CASE WHEN month = :month THEN calls ELSE 0 END < :most"""

_CLOSE: Final = """
    INSERT INTO gates (host, next_at, closed_until) VALUES (:host, 0, {now} + :length)
    ON CONFLICT (host) DO UPDATE SET closed_until = excluded.closed_until
    WHERE gates.closed_until < excluded.closed_until
        OR gates.closed_until > {now} + :farthest_closure"""

_ADD: Final = """
    INSERT INTO gates (host, next_at, closed_until) VALUES (:host, 0, 0)
    ON CONFLICT (host) DO NOTHING"""


@dataclass(frozen=True, slots=True)
class _Row:
    """What is stored of a host, and when it was read, in microseconds.

    `turn` is the time of the next turn; `closed` says that a closure is the reason. `calls` went
    out in the calendar month `month`.
    """

    now: int
    turn: int
    closed: bool
    month: int | None
    calls: int | None

    @property
    def wait(self) -> float:
        """Seconds until the next turn."""
        return (self.turn - self.now) / _SECOND

    def spent(self, month: Month) -> int:
        """How many calls went out in this month."""
        return self.calls or 0 if self.month == month.number else 0


class SharedRateLimiter:
    """A RateLimiter for all processes on one database: `rate` requests per second to `host`.

    With a `call_budget`, its callers are requests: `enter` also raises BudgetSpent. Without one, a
    turn is counted, and never refused for the count.

    `host` names the shared resource. No request passes while the database is down: an answer that
    cannot be stored is not worth a request. The default clock is PostgreSQL's own, so that machines
    agree; with SQLite it is this machine's. Thread-safe.

    One thread per process competes for a turn and the others queue behind it, so that a busy
    process does not crowd out a quiet one.
    """

    def __init__(
        self,
        engine: Engine,
        host: str,
        rate: float,
        *,
        call_budget: CallBudget | None = None,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = waits.sleep,
    ) -> None:
        self._engine = engine
        self._call_budget = call_budget
        self._reads = for_reading(engine)
        self._host = host
        self._period = 1.0 / rate
        sqlite = engine.dialect.name == SQLITE
        self._clock = time.time if clock is None and sqlite else clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._head = threading.Lock()
        self._standing = 0  # number of threads that compete or queue
        now = _POSTGRES_NOW if self._clock is None else ":now"
        self._read, self._take, self._close = (_at(now, sql) for sql in (_READ, _TAKE, _CLOSE))
        period = math.ceil(self._period * _SECOND)
        self._bounds = {
            "host": host[:300],
            "farthest_turn": period + _SLACK,
            "farthest_closure": round(LONGEST_CLOSURE * _SECOND) + _SLACK,
        }
        self._turn = {**self._bounds, "period": period}

    def enter(self, budget: float) -> None:
        """See RateLimiter.enter."""
        deadline = self._monotonic() + budget
        with self._ahead_of_the_others(deadline):
            while True:
                row = self._row()
                month = Month.of(row.now // _SECOND)
                most = self._most(row, month)
                if row.wait <= 0 and self._taken(month, most):
                    return
                if row.wait > max(0.0, deadline - self._monotonic()) + 1 / _SECOND:
                    raise rate_limited(self._host, row.wait, by_host=row.closed)
                if row.wait > 0:
                    self._sleep(row.wait)

    def close_for(self, seconds: float) -> None:
        """See RateLimiter.close_for. At most LONGEST_CLOSURE."""
        length = math.ceil(min(seconds, LONGEST_CLOSURE) * _SECOND)
        with transaction(self._engine) as connection:
            connection.execute(self._close, self._bounds | {"length": length} | self._now())

    @contextmanager
    def _ahead_of_the_others(self, deadline: float) -> Iterator[None]:
        """Queue until this thread is the first of its process. Raises OutOfTurn."""
        with self._lock:
            before = self._standing
            self._standing += 1
        try:
            left = max(0.0, deadline - self._monotonic())
            # Each thread ahead takes one turn, and a turn lasts a period.
            soonest = before * self._period
            if soonest > left or not waits.until(self._head_taken, left):
                raise rate_limited(self._host, max(soonest, self._period), by_host=False)
            try:
                yield
            finally:
                self._head.release()
        finally:
            with self._lock:
                self._standing -= 1

    def _head_taken(self, seconds: float) -> bool:
        return self._head.acquire(timeout=seconds)

    def _row(self) -> _Row:
        """Read what is stored of the host; it is stored from the first time on."""
        while True:
            with reading(self._reads) as connection:
                row = connection.execute(self._read, self._bounds | self._now()).one_or_none()
            if row is not None:
                now, next_at, closed_until, month, calls = row
                return _Row(now, max(next_at, closed_until), closed_until > next_at, month, calls)
            with transaction(self._engine) as connection:
                connection.execute(text(_ADD), {"host": self._bounds["host"]})

    def _most(self, row: _Row, month: Month) -> int:
        """Take a turn only if fewer calls than this are spent. Raises BudgetSpent if more are."""
        if self._call_budget is None:
            return _ANY
        now = row.now // _SECOND
        most, spent = self._call_budget.for_requests(now), row.spent(month)
        if spent >= most:
            raise self._call_budget.refusal(self._host, spent, now)
        return most

    def _taken(self, month: Month, most: int) -> bool:
        """Take the turn; False if another process was quicker, or the month is another one."""
        bounds = {
            "month": month.number,
            "month_first": month.first * _SECOND,
            "month_end": month.end * _SECOND,
            "most": most,
        }
        # On SQLite the write lock comes first: the time could otherwise be old when it is written.
        # PostgreSQL reads its clock again after waiting for the row.
        with transaction(self._engine) as connection:
            statement = self._turn | bounds | self._now()
            return connection.execute(self._take, statement).rowcount == 1

    def _now(self) -> dict[str, int]:
        return {} if self._clock is None else {"now": round(self._clock() * _SECOND)}


def _at(now: str, sql: str) -> TextClause:
    return text(sql.format(now=now))
