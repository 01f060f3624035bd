"""RDS's stand-in: a real PostgreSQL on loopback that takes TLS and passwords only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.rehearsal.world import MissingHereError, free_port

_ADMIN: Final = "rehearsal"
_RULES: Final = """\
local all rehearsal trust
hostssl all all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True)
class Database:
    """A running server."""

    port: int
    tools: Path
    home: Path

    def create(self, name: str, user: str, password: str) -> None:
        """What RDS does when an instance is made: a user with a password, and its database."""
        self.ask(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
        self.ask(f"CREATE DATABASE {name} OWNER {user}")

    def ask(self, statement: str, name: str = "postgres") -> str:
        """What psql prints for a statement, as the administrator."""
        where = ["-h", str(self.home), "-p", str(self.port), "-U", _ADMIN, "-d", name]
        return _run([self.tools / "psql", *where, "-qAtc", statement]).strip()


def tools() -> Path:
    """The folder of PostgreSQL's server programs. Raises MissingHereError without one."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders += [Path(name).resolve().parent for name in [shutil.which("initdb")] if name]
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "postgres", "pg_ctl", "psql")):
            return folder
    raise MissingHereError("PostgreSQL's server programs (initdb, pg_ctl) are not installed")


@contextmanager
def running(programs: Path) -> Iterator[Database]:
    """Start a server in a temporary folder; stop and remove it at the end."""
    home = Path(tempfile.mkdtemp(prefix="mms-rds-"))
    user = _unprivileged()
    if user is not None:
        shutil.chown(home, user)
    data, port = home / "data", free_port()
    try:
        kind = ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        _run([programs / "initdb", "-D", data, "-U", _ADMIN, *kind], user)
        _certify(data, user)
        (data / "pg_hba.conf").write_text(_RULES, encoding="utf-8")
        options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c ssl=on -c fsync=off"
        control: list[str | Path] = [programs / "pg_ctl", "-D", data, "-w", "-t", "60"]
        _run([*control, "-l", home / "log", "-o", options, "start"], user)
        try:
            yield Database(port, programs, home)
        finally:
            _run([*control, "-m", "immediate", "stop"], user)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _certify(data: Path, user: str | None) -> None:
    """A certificate that nobody signed: `sslmode=require` asks for TLS, not for a known signer."""
    key, certificate = data / "server.key", data / "server.crt"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=rehearsal"]
    _run(["openssl", "req", *options, "-keyout", key, "-out", certificate], user)
    key.chmod(0o600)


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
