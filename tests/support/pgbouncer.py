"""A real PgBouncer for the tests, in transaction mode: a process on a free loopback port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port
from tests.support.postgres import Postgres

_DEADLINE = 10.0
"""Seconds after which a test gives up on it."""


@dataclass(frozen=True)
class PgBouncer:
    """A running PgBouncer in front of one server."""

    port: int

    def url(self, server: str) -> str:
        """The URL of a server's database, through PgBouncer."""
        head, _, name = server.rpartition("/")
        return f"{head.rpartition(':')[0]}:{self.port}/{name}"


def program() -> Path | None:
    """The program, None where it is not installed."""
    path = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return None if path is None else Path(path)


@contextmanager
def running(
    program: Path, server: Postgres, users: str = "", **options: object
) -> Iterator[PgBouncer]:
    """Start PgBouncer in front of `server`. `users` is the text of its file of users."""
    folder = Path(tempfile.mkdtemp(prefix="mms-pgbouncer-"))
    port = free_port()
    settings: dict[str, object] = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "pool_mode": "transaction",
        "auth_type": "any",
        "auth_file": folder / "users",
        "max_client_conn": 500,
    } | options
    (folder / "users").write_text(users)
    forced = "user=mms" if settings["auth_type"] == "any" else ""
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} {forced}\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in settings.items())
    )
    user = None
    if os.geteuid() == 0:  # it refuses to run as root
        user = "nobody"
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user)
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [program, "-q", folder / "pgbouncer.ini"], stdout=log, stderr=log, user=user, cwd="/"
    )
    try:
        _until_it_listens(process, port, folder / "log")
        yield PgBouncer(port)
    finally:
        process.kill()
        process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + _DEADLINE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, f"PgBouncer ended at once: {log.read_text()}"
            assert time.monotonic() < give_up, "PgBouncer does not listen"
            time.sleep(0.01)
