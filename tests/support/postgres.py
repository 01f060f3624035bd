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

    def create(self) -> str:
        """The URL of a new, empty database."""
        name = f"mms_{next(self._numbers)}"
        self._sql(f"CREATE DATABASE {name}")
        return f"postgresql://mms@127.0.0.1:{self.port}/{name}"

    def drop(self, url: str) -> None:
        """Remove the database, whoever is still connected."""
        self._sql(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

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
        options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c max_connections=200"
        control: list[str | Path] = [folder / "pg_ctl", "-D", data, "-w", "-t", "60"]
        _run([*control, "-l", home / "log", "-o", options, "start"], user)
        try:
            yield Postgres(port, folder, count())
        finally:
            _run([*control, "-m", "immediate", "stop"], user)
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
