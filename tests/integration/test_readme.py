"""Every command of the README does what the README says: each one is run here, those that install the
systemd units in test_schedules.

Only `make test-local`, `make lint` and `make check` are read rather than run, because they are what runs
this, `make bench`, `make topology-check` and `make mutation`, because figures are not tests, and those
that need a container engine, Terraform, minutes or an account.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.db import schema
from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
COMMAND = re.compile(r"`((?:make|python -m|uvicorn|curl) ?[^`]*)`")
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PATIENCE = 90.0

READ_ONLY = {
    "make test-local",
    "make lint",
    "make check",
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
}
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


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def shell(command: str) -> str:
    """The command as it is run here: with this Python, whatever `python` is elsewhere."""
    command = re.sub(r"^python ", f"{sys.executable} ", command)
    return re.sub(r"^uvicorn ", f"{sys.executable} -m uvicorn ", command)


def run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        shell(command),
        shell=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def running(command: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command that stays; end it as Ctrl-C on a terminal does, and expect exit code 0."""
    process = subprocess.Popen(
        f"exec {shell(command)}",
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
        assert process.wait(20) in (0, 2, 130, -signal.SIGINT)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def until(answered: Callable[[], bool]) -> None:
    """Wait until something is so, within PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not answered():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def answers(url: str, contains: bytes) -> Callable[[], bool]:
    """Whether a GET of the URL succeeds and contains something."""

    def ask() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
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


@pytest.mark.parametrize("command", ["uvicorn app.main:app", "python -m app.serve"])
def test_the_api_alone(environment: dict[str, str], command: str) -> None:
    own_port = f" --port {environment['PORT']}" if command.startswith("uvicorn") else ""
    with running(command + own_port, environment):
        until(answers(f"{base(environment)}/readyz", b"make initial_load"))
        assert answers(f"{base(environment)}/BRLBTC/mms?range=20", b"[]")()


def test_the_sandbox_alone(environment: dict[str, str]) -> None:
    port = free_port()
    with running(f'make sandbox ARGS="--port {port}"', environment):
        symbols = f"http://127.0.0.1:{port}/api/v4/symbols"
        until(answers(symbols, b"BTC-BRL"))


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("make help", "make demo"),
        ("make migrate", schema.HEAD),
        ("make initial_load", "BRLETH"),
        ('make initial_load ARGS="--pairs BRLBTC --days 30"', "BRLBTC"),
        ("make incremental", "BRLETH"),
        ("python -m app.sandbox --help", "--replay"),
    ],
)
def test_commands_that_end_by_themselves(
    environment: dict[str, str], command: str, says: str
) -> None:
    done = run(command, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert says in done.stdout + done.stderr


def test_a_backup_goes_into_another_database(environment: dict[str, str], tmp_path: Path) -> None:
    assert run("make initial_load", environment).returncode == 0
    file = f"FILE={tmp_path / 'all.mmsb'}"
    done = run(f"make backup {file}", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    environment["DB_URL"] = f"sqlite:///{tmp_path / 'other.db'}"
    done = run(f"make restore {file}", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("make monitor", environment).returncode == 0


def test_the_collector_stays_until_it_is_told_to_stop(environment: dict[str, str]) -> None:
    with running("make collect", environment):
        exchange = environment["COINGECKO_API_BASE_URL"].removesuffix("/api/v3")
        until(lambda: "prices" in collected(environment))
        assert answers(f"{exchange}/api/v4/symbols", b"BTC-BRL")()


def collected(environment: dict[str, str]) -> str:
    """Which tables hold something, as text."""
    file = Path(environment["DB_URL"].removeprefix("sqlite:///"))
    if not file.exists():
        return ""
    connection = sqlite3.connect(file)
    try:
        return "prices" if connection.execute("SELECT 1 FROM prices").fetchone() else ""
    except sqlite3.OperationalError:  # not migrated yet
        return ""
    finally:
        connection.close()


def test_the_monitor_after_a_load(environment: dict[str, str]) -> None:
    assert run("make monitor", environment).returncode != 0
    assert run("make initial_load", environment).returncode == 0
    done = run("make monitor", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "complete" in done.stdout


def test_the_cron_lines_are_those_of_the_crontab() -> None:
    (shown,) = re.findall(r"```crontab\n(.*?)```", README, re.DOTALL)
    assert shown in (ROOT / "infra" / "cron" / "mms-api.crontab").read_text()


@pytest.mark.parametrize("command", sorted(READ_ONLY))
def test_the_commands_that_run_this_test_exist(command: str) -> None:
    done = run(command.replace("make ", "make -n "), dict(os.environ))
    assert done.returncode == 0, done.stderr


def test_no_command_of_the_readme_is_left_out() -> None:
    (units,) = [block for block in BLOCK.findall(README) if "systemctl" in block]
    tested = {
        *READ_ONLY,
        *units.splitlines(),
        "make demo",
        "make run_local",
        "make help",
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
        "python -m app.sandbox --help",
        "python -m app.serve",
        "uvicorn app.main:app",
    }
    assert {command for command in commands() if not command.startswith("curl")} == tested
