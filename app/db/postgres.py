"""PostgreSQL connections of the API: none waits for ever, and reads go to whichever server answers.

A suspended server, or one on a suspended machine, keeps its connections open and says nothing. A
limit that the server itself enforces (`statement_timeout`) does not help then. TCP's limits do not
help either: the operating system still acknowledges every packet. So a connection that has waited
for a while tries to open a second one: a server that is only slow accepts it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import psycopg
import structlog
from psycopg.abc import PQGen
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import make_url

from app.db.session import CONNECT_SECONDS, POOL

Result = TypeVar("Result")

PATIENCE: Final = 3.0
"""Seconds of silence after which another connection to the server is tried; then again each time.

A load balancer that gives up after 10 s still gets its answer from the next server: 3 s here, 2 s
until that attempt fails, 2 s until the next one does.
"""

RECYCLE: Final = 60
"""Seconds after which a connection is opened anew, at the preferred server if that is back."""

_LOOK_EVERY: Final = 0.1
_DEFAULT_PORT: Final = "5432"

# With its defaults TCP notices a vanished machine only after a quarter of an hour.
_TCP: Final = {
    "tcp_user_timeout": 2_000,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
}


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for an answer as long as its server takes new connections."""

    def wait(
        self, gen: PQGen[Result], interval: float = _LOOK_EVERY, timeout: float | None = None
    ) -> Result:
        """Wait as the driver does, within bounds. Raises OperationalError once they are reached."""
        return super().wait(self._attended(gen), interval, timeout)

    def _attended(self, gen: PQGen[Result]) -> PQGen[Result]:
        """The driver's own steps, checked for silence at least every `_LOOK_EVERY` seconds."""
        until = time.monotonic() + PATIENCE
        try:
            event_mask = next(gen)
            while True:
                ready = yield event_mask
                if not ready and time.monotonic() >= until:
                    self._require_server()
                    until = time.monotonic() + PATIENCE
                event_mask = gen.send(ready)
        except StopIteration as end:
            result: Result = end.value
            return result

    def _require_server(self) -> None:
        try:
            psycopg.connect(
                self.info.dsn, password=self.info.password, connect_timeout=CONNECT_SECONDS
            ).close()
        except psycopg.errors.ConnectionTimeout:
            # The answer may still arrive, in the middle of a later one: close the connection. That
            # also makes the pool reopen all its others, which lead to the same server.
            self.pgconn.finish()
            raise
        except psycopg.Error:
            pass  # a refusal is an answer


def server_url(value: str) -> URL:
    """The URL of a PostgreSQL server, with our driver."""
    return make_url(value).set(drivername="postgresql+psycopg")


def open_server(url: URL, arguments: Mapping[str, Any], **pool: Any) -> Engine:
    """Create an engine for PostgreSQL. `arguments` go to libpq, `pool` to SQLAlchemy's pool."""
    return create_engine(
        url,
        connect_args={"connect_timeout": CONNECT_SECONDS, **arguments},
        **POOL,
        **pool,
    )


def open_primary(db_url: str) -> Engine:
    """Create an engine for PostgreSQL, for writes and for reads of what was just written.

    A connection is tested before each use, because a write cannot simply be repeated.
    """
    return _bounded(server_url(db_url), {}, pool_pre_ping=True)


def open_reads(db_url: str, read_url: str | None, recycle: float = RECYCLE) -> Engine:
    """Create an engine for reads: the servers of `read_url`, if any, then those of `db_url`.

    User, password, database and options are those of `db_url`. A new connection goes to the first
    server that accepts it, and is replaced after `recycle` seconds.
    """
    url = server_url(db_url)
    where = {"target_session_attrs": "any"}
    if read_url is None:
        return _bounded(url, where, pool_recycle=recycle)
    servers = _servers(server_url(read_url)) + _servers(url)
    where["host"], where["port"] = (",".join(each) for each in zip(*servers, strict=True))
    engine = _bounded(url, where, pool_recycle=recycle)
    _log_moves(engine, *servers[0])
    return engine


def _bounded(url: URL, where: dict[str, str], **pool: Any) -> Engine:
    engine = open_server(url, {**_TCP, **where}, **pool)

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> Any:
        return BoundedConnection.connect(*arguments, **parameters)

    return engine


def _servers(url: URL) -> list[tuple[str, str]]:
    """The (host, port) of each server in a URL; empty text stands for libpq's default."""
    arguments = url.get_dialect()().create_connect_args(url)[1]
    hosts, ports = (str(arguments.get(name) or "").split(",") for name in ("host", "port"))
    if len(ports) == 1:
        ports *= len(hosts)
    return list(zip(hosts, ports, strict=True))


def _log_moves(engine: Engine, host: str, port: str) -> None:
    """Log each time that a new connection goes to another server than the last one did."""
    last = preferred = f"{host}:{port or _DEFAULT_PORT}"

    @event.listens_for(engine, "connect")
    def _connected(connection: psycopg.Connection[Any], _record: Any) -> None:
        nonlocal last
        server = f"{connection.info.host}:{connection.info.port}"
        if server != last:
            last = server
            log = structlog.get_logger()
            (log.info if server == preferred else log.warning)("reads_moved", server=server)
