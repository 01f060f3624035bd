"""PostgreSQL connections of the API: none waits for ever, and reads go to whichever server answers.

A suspended server, or one on a suspended machine, keeps its connections open and says nothing. A
limit that the server itself enforces (`statement_timeout`) does not help then. TCP's limits do not
help either: the operating system still acknowledges every packet. So a connection that has waited
for a while tries to open a second one: a server that is only slow accepts it.

A pooler such as PgBouncer may stand between, and give each transaction another session of the
server. So nothing of ours outlives its transaction: no prepared statement, no SET, no lock.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import make_url

from app.core.errors import ConfigurationError
from app.core.logging import structlog
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
_ANY: Final = "any"
_PLACES: Final = ("host", "port", "user", "dbname")  # what an error must name to be of use

# With its defaults TCP notices a vanished machine only after a quarter of an hour.
_TCP: Final = {
    "tcp_user_timeout": 2_000,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
}


# A server in SQL_ASCII names no encoding of its own, and PGCLIENTENCODING may name another one. It
# travels as a parameter of the connection, which poolers know; `options` is one that they refuse.
_SESSION: Final = {"client_encoding": "utf8", "prepare_threshold": None}
_UTF8: Final = ("utf8", "UTF8", "utf-8", "UTF-8")

_REFUSED: Final = ("replication",)  # such a connection takes no parameters of statements


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


def server_url(value: str, setting: str = "DB_URL") -> URL:
    """The URL of a PostgreSQL server, with our driver. libpq gets every option in it.

    Raises ConfigurationError, naming `setting`, for an option that libpq does not have, that is
    there twice, or that contradicts what this program needs.
    """
    url = make_url(value).set(drivername="postgresql+psycopg")
    for name, given in url.query.items():
        if name in _REFUSED or name not in _libpq_options():
            # After an & in a password its rest is read as a name.
            secret = any("password" in other for other in url.query)
            shown = "an option after the password" if secret else name
            problem = f"{shown} is not an option that can be used here: remove it"
        elif name != "host" and not isinstance(given, str):
            problem = f"{name} is there more than once: write it once"
        elif name == "client_encoding" and given not in _UTF8:
            problem = "client_encoding must be utf8 or left out"
        else:
            continue
        raise ConfigurationError(
            f"{setting}: {problem}. Allowed are the options of libpq, such as sslmode, "
            "connect_timeout, application_name, target_session_attrs"
        )
    return url


def _libpq_options() -> dict[str, bool]:
    """The options that libpq has, and whether the environment sets each."""
    return {
        option.keyword.decode(): option.val not in (None, option.compiled)
        for option in psycopg.pq.Conninfo.get_defaults()
    }


def open_server(
    url: URL,
    limits: Mapping[str, Any] | None = None,
    where: Mapping[str, str] | None = None,
    kind: type[psycopg.Connection[Any]] = psycopg.Connection,
    **pool: Any,
) -> Engine:
    """Create an engine for PostgreSQL. `limits` and `where` go to libpq, `pool` to our pool.

    A limit that the URL or the environment (PGCONNECT_TIMEOUT) sets is theirs; `where` is ours.
    Connections are of the class `kind`.
    """
    environment = _libpq_options()
    defaults = {"connect_timeout": CONNECT_SECONDS, **(limits or {})}
    limits = {
        name: limit
        for name, limit in defaults.items()
        if name not in url.query and not environment[name]
    }
    engine = create_engine(
        url,
        connect_args={**limits, **_SESSION, **(where or {})},
        # Part of each BEGIN. A role's default may be another one, under which writers that only
        # have to wait for each other fail.
        isolation_level="READ COMMITTED",
        **POOL,
        **pool,
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> Any:
        try:
            return kind.connect(*arguments, **parameters)
        except psycopg.Error as error:
            raise _without_values(error, url) from None

    return engine


def _without_values(error: psycopg.Error, url: URL) -> psycopg.Error:
    """The error with the names of the URL's options where it repeats their values."""
    reason = str(error)
    for name, value in url.query.items():
        if name not in _PLACES:
            reason = re.sub(rf"""(["']){re.escape(str(value))}\1""", f"(that of {name})", reason)
    return error if reason == str(error) else type(error)(reason)


def open_primary(db_url: str) -> Engine:
    """Create an engine for PostgreSQL, for writes and for reads of what was just written.

    A connection is tested before each use, because a write cannot simply be repeated.
    """
    return _bounded(server_url(db_url), {}, pool_pre_ping=True)


def open_reads(db_url: str, read_url: str | None, recycle: float = RECYCLE) -> Engine:
    """Create an engine for reads: the servers of `read_url`, if any, then those of `db_url`.

    User, password, database and options are those of `db_url`. A new connection goes to the first
    server that accepts it, and is replaced after `recycle` seconds. The primary's
    `target_session_attrs` counts only without `read_url`. Raises ConfigurationError.
    """
    url = server_url(db_url)
    if read_url is None:
        return _bounded(url, {}, pool_recycle=recycle)
    replica = server_url(read_url, "DB_READ_URL")
    if replica.query.get("target_session_attrs", _ANY) != _ANY:
        raise ConfigurationError(
            "DB_READ_URL: target_session_attrs must be any or left out: reads go to the first "
            "server that answers, the primary in the end"
        )
    servers = _servers(replica) + _servers(url)
    where = {"target_session_attrs": _ANY}
    where["host"], where["port"] = (",".join(each) for each in zip(*servers, strict=True))
    engine = _bounded(url, where, pool_recycle=recycle)
    _log_moves(engine, *servers[0])
    return engine


def described(url: URL) -> str:
    """The `host:port` of each server in a URL, and the database's name.

    What the URL leaves out is libpq's default; a host without any is the machine's own, `local`.
    """
    defaults = {
        option.keyword.decode(): (option.val or b"").decode()
        for option in psycopg.pq.Conninfo.get_defaults()
    }
    places = [
        f"{host or defaults['host'] or 'local'}:{port or defaults['port']}"
        for host, port in _servers(url)
    ]
    name = url.database or url.query.get("dbname") or defaults["dbname"]
    return f"{','.join(places)}/{name}"


def _bounded(url: URL, where: dict[str, str], **pool: Any) -> Engine:
    return open_server(url, _TCP, where, BoundedConnection, **pool)


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
