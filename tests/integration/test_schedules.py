"""The crontab and the systemd units: their commands really run, and their times are what they say."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.market import Pair
from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation

ROOT = Path(__file__).resolve().parents[2]
CRONTAB = ROOT / "infra" / "cron" / "mms-api.crontab"
UNITS = ROOT / "infra" / "systemd"
HOME = "/opt/mms-api"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str], Exchange]]:
    """A folder as an installation has it, the environment of its commands, and an exchange."""
    folder = tmp_path / "mms-api"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / "app").symlink_to(ROOT / "app")
    exchange = Exchange(Simulation(9, {Pair("BTC", "BRL"): None}), clock=time.time)
    with serve(exchange) as url:
        (folder / ".env").write_text(
            f"ALLOWED_PAIRS=BRLBTC\nHISTORY_DAYS=20\nMB_API_BASE_URL={url}/api/v4\n"
            "MB_REQUESTS_PER_SECOND=1000\nDB_URL=sqlite:///./data/mms.db\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        yield folder, environment, exchange


def cron_commands() -> list[tuple[str, str]]:
    """The schedule and the command of each line."""
    lines = [line for line in CRONTAB.read_text().splitlines() if line and line[0] != "#"]
    return [(" ".join(line.split()[:5]), line.split(maxsplit=5)[5]) for line in lines]


def unit(name: str) -> configparser.RawConfigParser:
    """A systemd unit; its option names keep their case."""
    parser = configparser.RawConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign] # as its documentation does
    parser.read(UNITS / name)
    return parser


def shell(
    command: str, folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command as cron does, in the shell, from anywhere."""
    return subprocess.run(
        ["/bin/sh", "-c", command.replace(HOME, str(folder))],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_two_cron_lines_load_watch_and_speak_up_only_when_something_is_missing(
    home: tuple[Path, dict[str, str], Exchange],
) -> None:
    folder, environment, exchange = home
    (load_at, load), (watch_at, watch) = cron_commands()
    assert re.fullmatch(r"5 \* \* \* \*", load_at)
    assert re.fullmatch(r"35 \* \* \* \*", watch_at)
    loaded = shell(load, folder, environment)
    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (0, "", "")
    assert "load_finished" in (folder / "data" / "loader.log").read_text()
    watched = shell(watch, folder, environment)
    assert (watched.returncode, watched.stdout, watched.stderr) == (0, "", "")
    assert "monitor_heartbeat" in (folder / "data" / "monitor.log").read_text()

    for file in folder.glob("data/mms.db*"):
        file.unlink()
    today = int(time.time()) // 86_400 * 86_400
    exchange.book.remove_span(Pair("BTC", "BRL"), (today - 5 * 86_400, today - 4 * 86_400))
    shell(load, folder, environment)
    watched = shell(watch, folder, environment)
    assert "BRLBTC 1d missing" in watched.stderr


@pytest.mark.parametrize("name", ["mms-loader", "mms-monitor"])
def test_a_unit_runs_the_command_it_names(
    home: tuple[Path, dict[str, str], Exchange], name: str
) -> None:
    folder, environment, _ = home
    service, timer = unit(f"{name}.service"), unit(f"{name}.timer")
    if name == "mms-monitor":
        shell(unit("mms-loader.service")["Service"]["ExecStart"], folder, environment)
    done = shell(service["Service"]["ExecStart"], folder, environment)
    assert done.returncode == 0, done.stderr
    assert service["Service"]["Type"] == "oneshot"
    assert service["Service"]["WorkingDirectory"] == HOME
    assert re.fullmatch(r"\*-\*-\* \*:\d\d:00 UTC", timer["Timer"]["OnCalendar"])
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_systemd_itself_finds_nothing_wrong(tmp_path: Path) -> None:
    checker = shutil.which("systemd-analyze")
    if checker is None:
        return  # the units are parsed and run above; this only adds systemd's own opinion
    for file in UNITS.iterdir():
        text = file.read_text().replace(f"{HOME}/.venv/bin/python", sys.executable)
        (tmp_path / file.name).write_text(text.replace("User=mms\n", ""))
    done = subprocess.run(
        [checker, "verify", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    problems = [line for line in done.stderr.splitlines() if "mms-" in line]
    assert not problems
