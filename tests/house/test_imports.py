"""The import contracts refuse what they are there to refuse; importing does nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.db import schema
from app.db.database import open_engine

ROOT = Path(__file__).resolve().parents[2]
LINT = "from importlinter.cli import lint_imports_command as main; main()"

# Wrong imports, and how the linter must name each: at least one for every contract.
PLANTED = [
    ("domain/fixed_point.py", "import app.db", "app.domain.fixed_point -> app.db"),
    ("services/__init__.py", "import app.bootstrap", "app.services -> app.bootstrap"),
    ("api/__init__.py", "import app.commands.command", "app.api -> app.commands.command"),
    ("main.py", "import app.serve", "app.main -> app.serve"),
    ("monitoring/__init__.py", "import app.sandbox", "app.monitoring -> app.sandbox"),
    ("services/__init__.py", "import httpx", "app.services -> httpx"),
    ("api/__init__.py", "import sqlalchemy", "app.api -> sqlalchemy"),
    ("bootstrap.py", "import alembic", "app.bootstrap -> alembic"),
    ("db/session.py", "import pymemcache", "app.db.session -> pymemcache"),
    ("events/__init__.py", "import structlog", "app.events -> structlog"),
    ("workers/__init__.py", "import starlette", "app.workers -> starlette"),
    ("services/__init__.py", "import fastapi", "app.services -> fastapi"),
    ("main.py", "import uvicorn", "app.main -> uvicorn"),
    ("api/errors.py", "import numpy", "app.api.errors -> numpy"),
    ("sandbox/__init__.py", "import app.sources.http", "app.sandbox -> app.sources.http"),
    ("domain/fixed_point.py", "import time", "app.domain.fixed_point -> time"),
]
A_PACKAGE_WITHOUT_A_FLOOR = ("helpers.py", "X = 1", "- app.helpers")

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

# What an API process on SQLite works without. It costs memory and time to start.
SURPLUS = """
import sys

surplus = (
    "alembic", "app.monitoring", "app.sandbox", "app.sources.http", "app.workers", "httpx", "numpy",
    "psycopg", "pymemcache", "rich", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm",
)
for name in sys.modules:
    if name in surplus:
        print(name)
"""

# An API process on a current schema, after two reads.
IDLE = """
import asyncio
from asgi_lifespan import LifespanManager
import app.serve
from app.main import create_app


async def status(application, path, query):
    async def receive():
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    sent = []
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": []}
    await application(scope, receive, send)
    return sent[0]["status"]


async def served():
    async with LifespanManager(create_app()) as started:
        print(await status(started.app, "/readyz", b""))
        print(await status(started.app, "/BRLBTC/mms", b"range=20"))


asyncio.run(served())
"""


def modules() -> list[str]:
    names = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[-1] != "__main__" and "versions" not in parts and name not in PROGRAMS:
            names.append(name)
    return names


def python(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a Python that leaves no byte code behind."""
    command = [sys.executable, "-B", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_import_contract_refuses_a_wrong_import(tmp_path: Path) -> None:
    """That the code as it is keeps them `make lint` says."""
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, line, _ in [*PLANTED, A_PACKAGE_WITHOUT_A_FLOOR]:
        with (tmp_path / "app" / module).open("a") as spoilt:
            spoilt.write(f"\n{line}\n")
    shown = python("-c", LINT, "--no-logo", "--no-cache", folder=tmp_path).stdout
    assert " 0 kept, " in shown
    assert [told for _, _, told in PLANTED if f"{told} (l." not in shown] == []
    assert A_PACKAGE_WITHOUT_A_FLOOR[2] in shown


def test_importing_any_module_opens_and_starts_nothing() -> None:
    run = python("-c", WATCH, *modules())
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("import threading; threading.Thread(target=print).start()", "thread"),
        ("open('log.txt', 'w').close()", "open"),
    ],
)
def test_a_module_that_does_something_at_import_is_noticed(
    tmp_path: Path, line: str, event: str
) -> None:
    (tmp_path / "careless.py").write_text(f"{line}\n")
    run = python("-c", WATCH, "careless", folder=tmp_path)
    assert run.returncode == 1
    assert f"importing careless does {event} " in run.stderr


def test_the_api_imports_nothing_that_only_others_need() -> None:
    run = python("-c", f"import app.main, app.serve\n{SURPLUS}")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_an_api_process_that_serves_reads_imports_nothing_more(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/mms.db"
    engine = open_engine(url)
    schema.migrate(engine)
    engine.dispose()
    environment.setenv("DB_URL", url)
    run = python("-c", f"{IDLE}\n{SURPLUS}")
    assert (run.returncode, run.stdout) == (0, "200\n200\n"), run.stderr
