"""The topology as processes: nginx, two API processes, two memcached, PostgreSQL with its replica.

Everything listens on free loopback ports and keeps its files in one temporary folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.db import schema
from app.db.database import open_engine
from benchmarks.reliability.rig import Stage, exchange
from tests.support import memcached, postgres
from tests.support.memcached import Memcached
from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.support.processes import ROOT, Server, environment

TEMPLATE: Final = ROOT / "infra" / "nginx" / "mms-api.conf.template"
PATIENCE: Final = 60.0

# What a container's image brings along: everything but the server itself.
_MAIN: Final = """\
daemon off;
worker_processes 1;
{user}pid {folder}/nginx.pid;
error_log {folder}/nginx.error.log warn;
events {{ worker_connections 512; }}
http {{
    log_format tries '$status $upstream_status $request';
    access_log {folder}/nginx.access.log tries;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    include {folder}/mms-api.conf;
}}
"""


class Missing(Exception):
    """Programs that are not installed."""


@dataclass(frozen=True)
class Programs:
    """Where the programs are."""

    nginx: str
    wrk: str
    memcached: Path
    postgres: Path


def programs() -> Programs:
    """Find them. Raises Missing, which says what to install."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin"
    nginx, wrk = (shutil.which(name, path=path) for name in ("nginx", "wrk"))
    cache, database = memcached.program(), postgres.tools()
    if nginx is None or wrk is None or cache is None or database is None:
        paths = {"nginx": nginx, "wrk": wrk, "memcached": cache, "postgresql": database}
        raise Missing(" ".join(name for name, where in paths.items() if where is None))
    return Programs(nginx, wrk, cache, database)


class Api:
    """One API process on a port that stays its own."""

    def __init__(self, name: str, folder: Path, settings: dict[str, str]) -> None:
        self.port = free_port()
        self.server = Server(f"http://127.0.0.1:{self.port}")
        self._log = folder / f"{name}.log"
        self._environment = environment(folder, **settings, PORT=str(self.port))
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns once it serves."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.serve"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        until(lambda: self._answers() or not self.running, PATIENCE)
        assert self.running, self._log.read_text()[-500:]

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; returns the exit code."""
        return self._end(signal.SIGTERM)

    def healthy(self) -> bool:
        """Whether all that it depends on is in use."""
        try:
            return bool(self.server.ask("GET", "/health")[2]["status"] == "ok")
        except OSError:
            return False

    def close(self) -> None:
        """End it in whatever state it is."""
        if self.running:
            self.kill()

    def _answers(self) -> bool:
        try:
            return self.server.ask("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(PATIENCE)


@dataclass(frozen=True)
class Stack:
    """Everything that runs."""

    folder: Path
    programs: Programs
    stage: Stage
    base_url: str
    db_url: str
    primary: Postgres
    replica: Postgres
    ring: list[Memcached]
    apis: list[Api]
    url: str

    def reads_from_replica(self) -> bool:
        """Whether nobody has read candles or averages from the primary within the last second."""
        name = self.db_url.rpartition("/")[2]
        return not int(
            self.primary.sql(
                f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' "
                "AND query LIKE '%FROM series%' AND state_change > now() - interval '1 second'"
            )
        )

    def tries(self) -> list[list[str]]:
        """What nginx has answered: its status, and that of each process that it asked."""
        lines = (self.folder / "nginx.access.log").read_text().splitlines()
        return [line.replace(", ", ",").split()[:2] for line in lines]


@contextmanager
def stack(folder: Path, programs: Programs, clock: Any) -> Iterator[Stack]:
    """Start everything but the load; the database is migrated and empty."""
    with ExitStack() as closing:
        enter = closing.enter_context
        stage, base_url = enter(exchange(clock))
        primary = enter(postgres.running(programs.postgres))
        replica = enter(postgres.replica_of(primary))
        ring = enter(memcached.several(programs.memcached, 2))
        db_url = primary.create()
        engine = open_engine(db_url)
        schema.migrate(engine)
        engine.dispose()
        settings = {
            "ENV": "prod",
            "DB_URL": db_url,
            "DB_READ_URL": replica.url(db_url),
            "CACHE_URL": f"memcached://{','.join(node.name for node in ring)}",
            "CACHE_SECRET": secrets.token_hex(32),
            "ALLOWED_PAIRS": "BRLBTC,BRLETH",
            "MB_API_BASE_URL": base_url,
            "MB_REQUESTS_PER_SECOND": "10000",
            "ACCESS_LOG": "off",
            "ALLOWED_HOSTS": "localhost",
            "COLLECT_ACCESS": "off",
            "TRUSTED_PROXIES": "127.0.0.1",
            "RATE_LIMIT": "off",  # wrk is more than one client may be
        }
        apis = [Api(f"api-{number}", folder, settings) for number in (1, 2)]
        for api in apis:
            closing.callback(api.close)
        begun = [threading.Thread(target=api.start) for api in apis]
        for thread in begun:
            thread.start()
        for thread in begun:
            thread.join()
        url = enter(nginx(folder, programs.nginx, [api.port for api in apis]))
        yield Stack(folder, programs, stage, base_url, db_url, primary, replica, ring, apis, url)


@contextmanager
def nginx(
    folder: Path,
    program: str,
    ports: Sequence[int],
    real_ip_from: str = "127.0.0.1",
    collect_access: str = "off",
) -> Iterator[str]:
    """nginx with the project's own configuration in front of two ports; yields its address."""
    port = free_port()
    names = {"LISTEN": f"127.0.0.1:{port}", "REAL_IP_FROM": real_ip_from}
    names["COLLECT_ACCESS"] = collect_access
    names |= {f"API_{n}": f"127.0.0.1:{each}" for n, each in enumerate(ports, start=1)}
    text = TEMPLATE.read_text()
    for name, value in names.items():
        text = text.replace(f"${{{name}}}", value)
    (folder / "mms-api.conf").write_text(text)
    # Its workers would otherwise be somebody who may not write here.
    user = "user root;\n" if os.geteuid() == 0 else ""
    main = folder / "nginx.conf"
    main.write_text(_MAIN.format(folder=folder, user=user))
    command = [program, "-e", str(folder / "nginx.error.log"), "-c", str(main)]
    subprocess.run([*command, "-t", "-q"], check=True)
    with subprocess.Popen(command) as process:
        try:
            until(lambda: _listens(port) or process.poll() is not None, PATIENCE)
            assert process.poll() is None, (folder / "nginx.error.log").read_text()[-500:]
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
