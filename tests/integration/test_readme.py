"""Every command of the README does what the README says.

Those that serve are run in test_serve, those that install the systemd units in test_schedules. Those that
run or measure the tests, need a container engine, Terraform, minutes or an account are only named here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.processes import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
COMMAND = re.compile(r"`((?:make|python -m|uvicorn|curl) ?[^`]*)`")
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)

ADDRESS = "http://127.0.0.1:8000"


def commands() -> set[str]:
    """Every command that the README shows."""
    blocks = [line for block in BLOCK.findall(README) for line in block.splitlines() if line]
    return {*blocks, *COMMAND.findall(BLOCK.sub("", README))}


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which the exchange is a stand-in and the database a new one."""
    with serve(Exchange(Simulation(3), clock=time.time)) as url:
        yield {
            **os.environ,
            "DB_URL": f"sqlite:///{tmp_path / 'readme.db'}",
            "MB_API_BASE_URL": f"{url}/api/v4",
            "MB_REQUESTS_PER_SECOND": "1000",
            "COINGECKO_API_BASE_URL": f"{url}/api/v3",
            "PORT": str(free_port()),
        }


def run(command: str, environment: dict[str, str]) -> str:
    """Run a command that ends by itself, with 0; returns what it shows."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@contextmanager
def running(command: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command that stays; end it as Ctrl-C on a terminal does."""
    process = subprocess.Popen(
        f"exec {command}",
        shell=True,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
        os.killpg(process.pid, signal.SIGINT)
        # `make` itself ends with 2 or by the signal; what it ran is what counts.
        assert process.wait(DEADLINE) in (0, 2, 130, -signal.SIGINT)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def answers(url: str, contains: bytes) -> Callable[[], bool]:
    """Whether a GET of the URL succeeds and contains something."""

    def ask() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE) as reply:
                body: bytes = reply.read()
                return contains in body
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    return ask


def base(environment: dict[str, str]) -> str:
    """Where the service listens."""
    return f"http://127.0.0.1:{environment['PORT']}"


def test_the_demo_and_every_curl_of_the_readme(environment: dict[str, str]) -> None:
    for name in ("DB_URL", "MB_API_BASE_URL"):
        del environment[name]
    curls = [command for command in commands() if command.startswith("curl ")]
    assert len(curls) == 6
    with running("make demo", environment) as demo:
        assert demo.stdout is not None
        shown = ""
        for line in demo.stdout:
            shown += line
            if "Stop with Ctrl-C" in line:
                break
        assert f"{base(environment)}/BRLBTC/mms?range=20" in shown
        assert '"mms":' in shown
        for curl in curls:
            url = curl.removeprefix("curl '").removesuffix("'")
            with urllib.request.urlopen(url.replace(ADDRESS, base(environment))) as reply:
                assert reply.status == 200
                # The README's dates grow old, and with them the replies may grow empty.
                assert isinstance(json.load(reply), list | dict)
        with urllib.request.urlopen(f"{base(environment)}/docs") as page:
            text = page.read().decode()
        assert "swagger-ui-bundle.js" in text
        assert not re.search(r"https?://(?!127\.0\.0\.1)", text)


def test_run_local_serves_at_once_and_loads_meanwhile(environment: dict[str, str]) -> None:
    with running("make run_local", environment):
        until(answers(f"{base(environment)}/healthz", b"alive"))
        until(answers(f"{base(environment)}/BRLETH/mms?range=200", b'"mms"'))


def test_the_collector_stays_and_asks_the_sandbox(environment: dict[str, str]) -> None:
    port = free_port()
    database = Path(environment["DB_URL"].removeprefix("sqlite:///"))
    with running(f'make sandbox ARGS="--port {port}"', environment):
        until(answers(f"http://127.0.0.1:{port}/api/v4/symbols", b"BTC-BRL"))
        environment["COINGECKO_API_BASE_URL"] = f"http://127.0.0.1:{port}/api/v3"
        with running("make collect", environment):
            until(lambda: "BTC" in collected(database))


def collected(database: Path) -> set[str]:
    """The symbols of which a price is stored."""
    if not database.exists():
        return set()
    with closing(sqlite3.connect(database)) as connection:
        try:
            return {symbol for (symbol,) in connection.execute("SELECT symbol FROM prices")}
        except sqlite3.OperationalError:  # not migrated yet
            return set()


def test_what_loads_a_database_and_watches_it(environment: dict[str, str]) -> None:
    run("make migrate", environment)
    assert "BRLETH" not in run('make initial_load ARGS="--pairs BRLBTC --days 30"', environment)
    assert "BRLETH" in run("make incremental", environment)
    assert "complete" in run("make monitor", environment)


def test_a_backup_goes_into_another_database(environment: dict[str, str], tmp_path: Path) -> None:
    file = f"FILE={tmp_path / 'all.mmsb'}"
    run("make initial_load", environment)
    run(f"make backup {file}", environment)
    environment["DB_URL"] = f"sqlite:///{tmp_path / 'other.db'}"
    run(f"make restore {file}", environment)
    assert "complete" in run("make monitor", environment)


def test_the_cron_lines_are_those_of_the_crontab() -> None:
    (shown,) = re.findall(r"```crontab\n(.*?)```", README, re.DOTALL)
    assert shown in (ROOT / "infra" / "cron" / "mms-api.crontab").read_text()


def test_no_command_of_the_readme_is_left_out() -> None:
    (units,) = [block for block in BLOCK.findall(README) if "systemctl" in block]
    elsewhere = {
        "make test-local",
        "make lint",
        "make check",
        "make check-all",
        "make drills",
        "make programs",
        "make reliability",
        'make test-local ARGS="-n0 -k name"',
        "make bench",
        "make topology-check",
        "make run_in_docker",
        "make image-check",
        "make compose-check",
        "make infra-check",
        "make infra-rehearse",
        "make deploy",
        "make audit",
        "make fuzz",
        "make mutation",
        "make help",
        "python -m app.sandbox --help",
        "python -m app.serve",
        "uvicorn app.main:app",
    }
    tested = {
        *elsewhere,
        *units.splitlines(),
        "make demo",
        'make demo ARGS="--port 8001"',
        "make run_local",
        "make migrate",
        "make initial_load",
        'make initial_load ARGS="--pairs BRLBTC --days 30"',
        "make incremental",
        "make monitor",
        "make collect",
        "make backup",
        "make restore",
        "make sandbox",
        'make sandbox ARGS="--port 8080"',
    }
    assert {command for command in commands() if not command.startswith("curl")} <= tested
