"""Importing does nothing, and the API process stays light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Alembic runs this file as a program, and a package's __main__ is one.
PROGRAMS = {"app.db.migrations.env"}

# A hook cannot be taken out again, so it is switched off: coverage writes its own file at the end.
WATCH = """
import importlib, os, sys, threading

FORBIDDEN = {
    "sqlite3.connect", "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen",
    "os.fork", "os.mkdir", "os.rename", "os.remove", "thread",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
start = threading.Thread.start
importing = None


def watch(event, arguments):
    if importing is None:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
    if event in FORBIDDEN or writes:
        print(f"importing {importing} does {event} {arguments}", file=sys.stderr)
        raise RuntimeError("nothing may happen at import")


def watched_start(thread):  # Python 3.11 has no audit event for it
    watch("thread", (thread,))
    start(thread)


threading.Thread.start = watched_start
sys.addaudithook(watch)
for importing in sys.argv[1:]:
    importlib.import_module(importing)
importing = None
"""


def modules() -> list[str]:
    names = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[-1] != "__main__" and "versions" not in parts and name not in PROGRAMS:
            names.append(name)
    return names


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python that leaves no byte code behind."""
    command = [sys.executable, "-B", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_importing_any_module_opens_and_starts_nothing() -> None:
    run = python("-c", WATCH, *modules())
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("import sqlite3; sqlite3.connect(':memory:').close()", "sqlite3.connect"),
        ("import socket; socket.socket().bind(('127.0.0.1', 0))", "socket.bind"),
        ("import threading; threading.Thread(target=print).start()", "thread"),
        ("open('log.txt', 'w').close()", "open"),
        ("import os; os.mkdir('data')", "os.mkdir"),
    ],
)
def test_the_watch_notices_what_a_careless_module_does(
    tmp_path: Path, line: str, event: str
) -> None:
    (tmp_path / "careless.py").write_text(f"{line}\n")
    run = python("-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{WATCH}", "careless")
    assert run.returncode == 1
    assert f"importing careless does {event} " in run.stderr
    assert not (ROOT / "log.txt").exists()


def test_the_api_imports_neither_numpy_nor_the_workers() -> None:
    code = (
        "import app.main, app.serve, sys; "
        "print(*sorted(n for n in sys.modules if n.split('.')[0] == 'numpy' "
        "or n.startswith(('app.workers', 'app.sandbox', 'app.monitoring'))))"
    )
    run = python("-c", code)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
