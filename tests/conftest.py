"""What every test may use. A resource that is not there skips its tests with the reason, unless
MMS_TEST_REQUIRE names it (comma-separated, as CI does): then its absence is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from app.core.how_to_run import FRONT
from tests.support import memcached as memcached_support
from tests.support import pgbouncer, postgres
from tests.support.memcached import Memcached

# Machines that run tests are busy ones: how long an example takes says nothing about the code.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
# What `make fuzz` chooses: other examples every time, and many of them.
settings.register_profile("fuzz", deadline=None, derandomize=False, max_examples=5_000)

ROOT = Path(__file__).resolve().parent.parent

# `make check` sets it, and pytest alone does not: messages name commands as one of both.
os.environ.pop(FRONT, None)


def pytest_xdist_auto_num_workers() -> int:
    """How many tests run at a time: one more than cores, since most wait for their processes."""
    return min((os.cpu_count() or 1) + 1, 4)


def absent(resource: str, reason: str) -> NoReturn:
    """Skip for want of an optional resource, or fail where the run was told to require it."""
    required = {item.strip() for item in os.environ.get("MMS_TEST_REQUIRE", "").split(",")}
    if resource in required:
        pytest.fail(f"{resource} is required by MMS_TEST_REQUIRE: {reason}", pytrace=False)
    pytest.skip(f"needs {resource}: {reason}")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without a proxy and without certificates."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL"):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded market data, which is not part of the project."""
    folder = Path(os.environ.get("MARKET_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        absent("recordings", f"set MARKET_DATA_DIR; {folder} is no folder")
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    """A real PostgreSQL server, started once."""
    folder = postgres.tools()
    if folder is None:
        absent("postgres", "PostgreSQL's server programs (initdb, pg_ctl) are not installed")
    with postgres.running(folder) as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer_program() -> Path:
    """The PgBouncer program."""
    program = pgbouncer.program()
    if program is None:
        absent("pgbouncer", "the program pgbouncer is not installed")
    return program


@pytest.fixture(scope="session")
def memcached_program() -> Path:
    """The memcached program."""
    found = memcached_support.program()
    if found is None:
        absent("memcached", "the program memcached is not installed")
    return found


@pytest.fixture
def memcached(memcached_program: Path) -> Iterator[Memcached]:
    """A real memcached of the test's own, empty."""
    with memcached_support.running(memcached_program) as node:
        yield node


@pytest.fixture
def memcached_nodes(memcached_program: Path) -> Iterator[list[Memcached]]:
    """Three of them."""
    with memcached_support.several(memcached_program, 3) as nodes:
        yield nodes


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'mms.db'}"


@pytest.fixture
def postgres_url(postgres_server: postgres.Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def db_url(sqlite_url: str) -> str:
    """The URL of an empty database; tests/integration has one of each kind in turn."""
    return sqlite_url
