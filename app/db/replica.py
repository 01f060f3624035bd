"""A read replica beside the primary: who is asked, and who is asked instead when that one is away.

Each read is one call to one server: state and rows of a reply never come from two. The server that a
kind of read prefers is asked first; when it does not answer, the other one is, and the first is left
alone from that moment on: nobody waits for it. One thread asks both again and again for a mark of what
they hold, and so finds out that one is away although it keeps its connections open (whoever waits for it
then stops waiting), that it is back, or that the replica has fallen behind.

The replica is used once it has been seen to hold exactly what the primary holds, at the start and after
each absence. So a process that returns to it does not go back in time, and a DB_READ_URL that names
another database is never read. While the primary is away there is nothing to compare with: then a replica
that was seen as one before is taken as it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from app.core.errors import StoreError, StoreUnavailable, StoreUnusable
from app.db import schema, session

Store = TypeVar("Store")
Result = TypeVar("Result")

LOOK_EVERY: Final = 0.5
ANSWER_SECONDS: Final = 2.0
"""Seconds that a server has to answer the smallest question. A read may take as long as it needs."""

MOST_LAG: Final = 2.0
"""Seconds that a replica may be behind the primary."""

# A server that cancels one read, because it took too long or stands in the way of replication, is well.
_ONE_READ_ONLY: Final = ("40001", "40P01", "57014")

_MARK: Final = text(
    "SELECT version_num, (SELECT coalesce(max(revision), 0) FROM series), "
    "(SELECT coalesce(max(checked_at), 0) FROM series), "
    "(SELECT coalesce(max(id), 0) FROM prices) FROM alembic_version"
)


class Mark(NamedTuple):
    """How far a database is: each number grows with what is committed."""

    revision: int
    checked_at: int
    price: int

    def reaches(self, other: Mark) -> bool:
        """Whether everything up to the other mark is there."""
        return all(mine >= theirs for mine, theirs in zip(self, other, strict=True))


class Server:
    """One PostgreSQL server that reads may go to. Safe to share between threads.

    `usable` says whether it should be asked, `known` whether what it holds may be shown at all, `silent`
    whether whoever asks must wait to learn that it is away. `alarm` is set when a read has failed there.
    """

    def __init__(
        self, name: str, url: str, setting: str, alarm: threading.Event, *, written: bool = False
    ) -> None:
        self.name = name
        self.usable = self.known = self.silent = False
        self._alarm = alarm
        self._lock = threading.Lock()
        self._told = True
        self._losses = 0
        # What is written cannot simply be tried again.
        self.engine = session.open_bounded(
            url, setting, losses=lambda: self._losses, pool_pre_ping=written
        )
        self._looks = session.open_bounded(url, setting, longest=ANSWER_SECONDS)

    def mark(self) -> Mark:
        """What it holds. Raises StoreError, also where its schema is older than this program's."""
        return tried_again(self._mark)

    def _mark(self) -> Mark:
        with session.reading(session.for_reading(self._looks)) as connection:
            version, *numbers = connection.execute(_MARK).one()
        if version < schema.HEAD:
            raise StoreUnusable(f"it is at schema {version} and this program needs {schema.HEAD}")
        return Mark(*numbers)

    def use(self) -> None:
        """Ask it from now on; say so once where it was left alone before."""
        with self._lock:
            self.usable, self.known, self.silent = True, True, False
            told, self._told = self._told, True
        if not told:
            structlog.get_logger().info("database_recovered", server=self.name)

    def leave(self, reason: str) -> None:
        """Do not ask it from now on, and say so once."""
        with self._lock:
            self.usable = False
            told, self._told = self._told, False
        if told:
            structlog.get_logger().warning("database_broke", server=self.name, reason=reason)

    def away(self, error: StoreError) -> None:
        """Leave it, and let whoever waits for it stop waiting."""
        self._losses += 1
        self.silent = _waited_in_vain(error)
        self.leave(str(error))

    def failed(self, error: StoreError) -> None:
        """Take notice of a read that has failed there."""
        if not _only_this_read(error):
            self.silent = _waited_in_vain(error)
            self.leave(str(error))
            self._alarm.set()

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()
        self._looks.dispose()


class ReadServers:
    """A primary and its replica, where there is one, watched. `start` it once, `close` it at the end.

    A primary alone is watched, too: who waits for one that has stopped, or whose machine has, learns it
    within seconds instead of by its system's time-outs.
    """

    def __init__(
        self,
        primary_url: str,
        replica_url: str | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alarm = threading.Event()
        self.primary = Server("primary", primary_url, "DB_URL", self._alarm, written=True)
        self.replica: Server | None = None
        if replica_url is not None:
            self.replica = Server("replica", replica_url, "DB_READ_URL", self._alarm)
        self.primary.use()
        self._monotonic = monotonic
        self._owed: tuple[float, Mark] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="replica-watch", daemon=True)

    def start(self) -> None:
        """Look once, now, and from then on in a thread."""
        self.look()
        self._thread.start()

    def look(self) -> None:
        """Ask both how far they are, and judge by that who should be asked."""
        ahead = self._ask(self.primary)
        if ahead is not None:
            self.primary.use()
        if self.replica is None or (mark := self._ask(self.replica)) is None:
            return
        if ahead is None:
            if self.replica.known:
                self.replica.use()
            return
        behind = self._behind(ahead, mark)
        if mark == ahead:
            self.replica.use()
        elif behind > MOST_LAG:
            self.replica.leave(f"it is more than {MOST_LAG:.0f} s behind the primary")
        elif not self.replica.usable:
            self.replica.leave("it does not hold what the primary holds")

    def close(self) -> None:
        """End the thread and give the connections back."""
        self._closed = True
        self._alarm.set()
        if self._thread.is_alive():
            self._thread.join()
        for server in self._servers():
            server.close()

    def route(self, store: Callable[[Engine], Store], *, written: bool = False) -> Route[Store]:
        """Where one kind of read goes: the replica first, or with `written` the primary."""
        servers = self._servers()
        ordered = servers if written else servers[::-1]
        return Route(*((server, store(server.engine)) for server in ordered), insist=written)

    def _servers(self) -> list[Server]:
        return [self.primary] if self.replica is None else [self.primary, self.replica]

    def _watch(self) -> None:
        while not self._closed:
            self._alarm.wait(LOOK_EVERY)
            self._alarm.clear()
            if not self._closed:
                self.look()

    def _ask(self, server: Server) -> Mark | None:
        try:
            return server.mark()
        except StoreError as error:
            server.away(error)
            return None

    def _behind(self, ahead: Mark, mark: Mark) -> float:
        """For how many seconds the replica has lacked something that the primary had."""
        now = self._monotonic()
        # A mark that went down is that of a backup, put in the place of what was there.
        if self._owed is None or mark.reaches(self._owed[1]) or not ahead.reaches(self._owed[1]):
            self._owed = (now, ahead)
        return now - self._owed[0]


class Route(Generic[Store]):
    """Where one kind of read goes: the servers in the order of preference, each with its store.

    With `insist` a server that is left alone keeps its place as long as it refuses at once: who prefers
    it learns at once, too, that it is back.
    """

    def __init__(self, *stores: tuple[Server, Store], insist: bool = False) -> None:
        self._stores = stores
        self._insist = insist

    def ask(self, read: Callable[[Store], Result]) -> Result:
        """The answer of the first server that gives one. Raises StoreError where none does.

        A server that is left alone is asked when nobody else has answered, but not one of which is
        known that the asking would be in vain.
        """
        trouble: StoreError | None = None
        for server, store in sorted(self._stores, key=lambda each: self._last(each[0])):
            if not server.known:
                continue
            if server.silent:
                trouble = trouble or StoreUnavailable(f"the {server.name} database does not answer")
                continue
            try:
                return tried_again(lambda: read(store))  # noqa: B023 - called at once
            except StoreError as error:
                server.failed(error)
                # What may pass by itself is what the caller should know of.
                if trouble is None or isinstance(error, StoreUnavailable):
                    trouble = error
        assert trouble is not None, "the primary is always asked"
        raise trouble

    def _last(self, server: Server) -> bool:
        return not server.usable and (server.silent or not self._insist)


def tried_again(read: Callable[[], Result]) -> Result:
    """The result of `read`, of its second call where a connection died that had worked before.

    The server may have been restarted since the connection was last used. Raises StoreError.
    """
    try:
        return read()
    except StoreError as error:
        cause = error.__cause__
        died = isinstance(cause, DBAPIError) and cause.connection_invalidated
        # The one that was given up on is dead now, too, but a second try would wait as long.
        if not died or _waited_in_vain(error):
            raise
    return read()


def _waited_in_vain(error: StoreError) -> bool:
    from app.db.bounded import IN_VAIN  # noqa: PLC0415 - its driver is of no use to SQLite alone

    return isinstance(_driver_error(error), IN_VAIN)


def _only_this_read(error: StoreError) -> bool:
    return getattr(_driver_error(error), "sqlstate", None) in _ONE_READ_ONLY


def _driver_error(error: StoreError) -> BaseException | None:
    cause = error.__cause__
    return cause.orig if isinstance(cause, DBAPIError) else None
