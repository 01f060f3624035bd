"""A real PostgreSQL for the tests: started once on a free loopback port, one database a test."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path


@dataclass(frozen=True)
class Postgres:
    """A running server; `create()` makes an empty database and returns its URL."""

    port: int
    tools: Path
    _numbers: Iterator[int]
    _home: Path
    _user: str | None

    def create(self) -> str:
        """The URL of a new, empty database."""
        name = f"mms_{next(self._numbers)}"
        self._sql(f"CREATE DATABASE {name}")
        return f"postgresql://mms@127.0.0.1:{self.port}/{name}"

    def drop(self, url: str) -> None:
        """Remove the database, whoever is still connected."""
        self._sql(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def start(self) -> None:
        """Start the server; returns once it accepts connections."""
        options = f"-p {self.port} -k {self._home} -c listen_addresses=127.0.0.1"
        options += " -c max_connections=200"
        self._control("-l", self._home / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: `fast` ends its connections politely, `immediate` is a crash."""
        self._control("-m", mode, "stop")

    def terminate(self) -> None:
        """End every connection but our own, as an administrator would."""
        self._sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE usename = 'mms' AND pid <> pg_backend_pid()"
        )

    def _control(self, *arguments: str | Path) -> None:
        data = self._home / "data"
        _run([self.tools / "pg_ctl", "-D", data, "-w", "-t", "60", *arguments], self._user)

    def _sql(self, statement: str) -> None:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "mms", "-d", "postgres"]
        _run([self.tools / "psql", *where, "-qc", statement])


def tools() -> Path | None:
    """The folder of PostgreSQL's server programs, None where they are not installed."""
    candidates = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if all((folder / name).exists() for name in ("initdb", "postgres", "pg_ctl", "psql")):
            return folder
    return None


@contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """Start a server with its data in a temporary folder; stop and remove it at the end."""
    home = Path(tempfile.mkdtemp(prefix="mms-postgres-"))
    port = _free_port()
    user = _unprivileged()
    if user is not None:
        shutil.chown(home, user)
    data = home / "data"
    try:
        kind = ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        _run([folder / "initdb", "-D", data, "-U", "mms", *kind], user)
        server = Postgres(port, folder, count(), home, user)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _unprivileged() -> str | None:
    """The user to run the server as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(command: Sequence[str | Path], user: str | None = None) -> None:
    done = subprocess.run(
        command, user=user, capture_output=True, text=True, timeout=120, check=False, cwd="/"
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")
