"""Importing does nothing, and the API process stays light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Alembic runs this file as a program, and a package's __main__ is one.
PROGRAMS = {"app.db.migrations.env"}

# A hook cannot be taken out again, so it is switched off: coverage writes its own file at the end.
WATCH = """
import importlib, sys

FORBIDDEN = {
    "sqlite3.connect", "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen",
    "os.fork", "os.mkdir", "os.rename", "os.remove", "_thread.start_new_thread",
    "_thread.start_joinable_thread",
}
WRITING = __import__("os").O_WRONLY | __import__("os").O_RDWR | __import__("os").O_CREAT
importing = None


def watch(event, arguments):
    if importing is None:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
    if event in FORBIDDEN or writes:
        print(f"importing {importing} does {event} {arguments}", file=sys.stderr)
        raise RuntimeError("nothing may happen at import")


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


def test_the_watch_would_notice_a_database_opened_at_import(tmp_path: Path) -> None:
    (tmp_path / "careless.py").write_text("import sqlite3\nsqlite3.connect(':memory:').close()\n")
    run = python("-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{WATCH}", "careless")
    assert run.returncode == 1
    assert "importing careless does sqlite3.connect" in run.stderr


def test_the_api_imports_neither_numpy_nor_the_workers() -> None:
    code = (
        "import app.main, app.serve, sys; "
        "print(*sorted(n for n in sys.modules if n.split('.')[0] == 'numpy' "
        "or n.startswith(('app.workers', 'app.sandbox', 'app.monitoring'))))"
    )
    run = python("-c", code)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
