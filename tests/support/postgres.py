"""A real PostgreSQL for the tests: started once on a free loopback port, one database a test.

It can have a streaming replica, and both can be stopped, held still and started again.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.support.ports import free_port

PROGRAMS = ("initdb", "postgres", "pg_basebackup", "pg_ctl", "psql")


@dataclass(frozen=True)
class Postgres:
    """A running server; `create()` makes an empty database and returns its URL."""

    port: int
    tools: Path
    _numbers: Iterator[int]
    _home: Path
    _user: str | None
    _settings: tuple[str, ...] = ()

    def create(self) -> str:
        """The URL of a new, empty database."""
        name = f"mms_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql://mms@127.0.0.1:{self.port}/{name}"

    def drop(self, url: str) -> None:
        """Remove the database, whoever is still connected."""
        self.sql(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    @contextmanager
    def guarded(self, password: str) -> Iterator[str]:
        """An empty database whose owner has to know a password; gives its URL without that."""
        rules = Path(self.sql("SHOW hba_file"))
        before = rules.read_text()
        url = self.create()
        self.sql(f"CREATE ROLE guarded LOGIN PASSWORD {_quoted(password)}")
        self.sql(f"ALTER DATABASE {url.rpartition('/')[2]} OWNER TO guarded")
        rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{before}")
        self.sql("SELECT pg_reload_conf()")
        try:
            yield url.replace("mms@", "guarded@")
        finally:
            rules.write_text(before)
            self.sql("SELECT pg_reload_conf()")
            self.drop(url)
            self.sql("DROP ROLE guarded")

    def url(self, other: str) -> str:
        """Where another server's database is on this one, its replica."""
        return f"postgresql://mms@127.0.0.1:{self.port}/{other.rpartition('/')[2]}"

    def start(self) -> None:
        """Start the server; returns once it accepts connections."""
        options = f"-p {self.port} -k {self._home} -c listen_addresses=127.0.0.1"
        options += "".join(f" -c {each}" for each in ("max_connections=200", *self._settings))
        self._control("-l", self._home / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: `fast` ends its connections politely, `immediate` is a crash."""
        self._control("-m", mode, "stop")

    def terminate(self) -> None:
        """End every connection but our own, as an administrator would."""
        self.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE usename = 'mms' AND pid <> pg_backend_pid()"
        )

    def hold(self) -> None:
        """SIGSTOP: connections stay open, the system accepts new ones, and no answer comes."""
        # The parent first: it would start others in their place.
        for pid in self._processes():
            _send(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        for pid in reversed(self._processes()):
            _send(pid, signal.SIGCONT)

    def sql(self, statement: str) -> str:
        """What one statement answers, as plain text."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "mms", "-d", "postgres"]
        return _run([self.tools / "psql", *where, "-qAtc", statement]).strip()

    def close(self) -> None:
        """Stop it in whatever state it is."""
        if (self._home / "data" / "postmaster.pid").exists():
            self.go_on()
            self.stop()

    def _processes(self) -> list[int]:
        """The server's first process and its children."""
        file = self._home / "data" / "postmaster.pid"
        parent = file.read_text().split()[0]
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", parent], capture_output=True, text=True, check=False
        )
        return [int(parent), *map(int, listed.stdout.split())]

    def _control(self, *arguments: str | Path) -> None:
        data = self._home / "data"
        _run([self.tools / "pg_ctl", "-D", data, "-w", "-t", "60", *arguments], self._user)


def tools() -> Path | None:
    """The folder of PostgreSQL's server programs, None where they are not installed."""
    candidates = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if all((folder / name).exists() for name in PROGRAMS):
            return folder
    return None


@contextmanager
def running(folder: Path, *settings: str, encoding: str = "UTF8") -> Iterator[Postgres]:
    """Start a server with its data in a temporary folder; stop and remove it at the end.

    With `fsync=off` among the settings it starts faster after a crash; nothing of it shall outlive
    the machine anyway.
    """
    kind = ["-A", "trust", "-E", encoding, "--locale=C", "--no-sync"]
    with _server(folder, settings) as server:
        _run([folder / "initdb", "-D", server._home / "data", "-U", "mms", *kind], server._user)
        server.start()
        yield server


@contextmanager
def replica_of(primary: Postgres) -> Iterator[Postgres]:
    """Start a streaming replica of a running server; stop and remove it at the end."""
    source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "mms"]
    with _server(primary.tools, primary._settings) as server:
        copy: list[str | Path] = [
            primary.tools / "pg_basebackup",
            *source,
            "-D",
            server._home / "data",
        ]
        _run([*copy, "-R", "-X", "stream", "-c", "fast", "--no-sync"], server._user)
        server.start()
        yield server


@contextmanager
def _server(folder: Path, settings: tuple[str, ...]) -> Iterator[Postgres]:
    """A server that has no data yet."""
    home = Path(tempfile.mkdtemp(prefix="mms-postgres-"))
    user = _unprivileged()
    if user is not None:
        shutil.chown(home, user)
    server = Postgres(free_port(), folder, count(), home, user, settings)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(home, ignore_errors=True)


def _quoted(text: str) -> str:
    """The text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _unprivileged() -> str | None:
    """The user to run the server as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _run(command: Sequence[str | Path], user: str | None = None) -> str:
    done = subprocess.run(
        command, user=user, capture_output=True, text=True, timeout=120, check=False, cwd="/"
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")
    return done.stdout


def _send(pid: int, sent: signal.Signals) -> None:
    """Signal a process that may have ended since it was listed."""
    with suppress(ProcessLookupError):
        os.kill(pid, sent)
