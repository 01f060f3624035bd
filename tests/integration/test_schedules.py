"""The crontab and the systemd units: their commands run, and their times are as stated."""

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
from tests.conftest import absent
from tests.support.documents import blocks

ROOT = Path(__file__).resolve().parents[2]
CRONTAB = ROOT / "infra" / "cron" / "mms-api.crontab"
UNITS = ROOT / "infra" / "systemd"
HOME = "/opt/mms-api"
SERVICES = ("mms-loader", "mms-monitor")
PAGE = ROOT / "docs" / "operations.md"


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
    log = folder / "data" / "loader.log"
    assert "load_finished" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    watched = shell(watch, folder, environment)
    assert (watched.returncode, watched.stdout, watched.stderr) == (0, "", "")
    assert "monitor_heartbeat" in (folder / "data" / "monitor.log").read_text()

    for file in folder.glob("data/mms.db*"):
        file.unlink()
    today = int(time.time()) // 86_400 * 86_400
    exchange.book.remove(Pair("BTC", "BRL"), (today - 5 * 86_400, today - 4 * 86_400))
    shell(load, folder, environment)
    watched = shell(watch, folder, environment)
    assert "BRLBTC 1d missing" in watched.stderr
    text = (folder / "data" / "monitor.log").read_text()
    assert text.count("monitor_heartbeat") == 2
    assert text.endswith(watched.stderr)


def test_the_page_shows_the_lines_of_the_crontab() -> None:
    (shown,) = [block.text for block in blocks(PAGE) if block.kind == "crontab"]
    assert shown in CRONTAB.read_text()


def test_a_monitor_that_cannot_check_mails_why_and_logs_it(
    home: tuple[Path, dict[str, str], Exchange],
) -> None:
    folder, environment, _ = home
    _, (_, watch) = cron_commands()
    log = folder / "data" / "monitor.log"
    (folder / "data" / "monitor.last").write_text("what an earlier run said\n")
    # The database is gone; then the program itself is.
    watched = shell(watch, folder, environment)
    assert "could_not_check" in watched.stderr
    assert log.read_text() == watched.stderr
    (folder / ".venv" / "bin" / "python").unlink()
    watched = shell(watch, folder, environment)
    assert "not found" in watched.stderr
    assert log.read_text().endswith(watched.stderr)


def test_the_units_run_the_commands_that_they_name(
    home: tuple[Path, dict[str, str], Exchange],
) -> None:
    folder, environment, _ = home
    for name in SERVICES:
        service, timer = unit(f"{name}.service"), unit(f"{name}.timer")
        done = shell(service["Service"]["ExecStart"], folder, environment)
        assert done.returncode == 0, done.stderr
        assert service["Service"]["Type"] == "oneshot"
        assert service["Service"]["WorkingDirectory"] == HOME
        assert service["Service"]["UMask"] == "0077"
        assert re.fullmatch(r"\*-\*-\* \*:\d\d:00 UTC", timer["Timer"]["OnCalendar"])
        assert timer["Timer"]["Persistent"] == "true"
        assert timer["Install"]["WantedBy"] == "timers.target"


def test_systemd_itself_finds_nothing_wrong(tmp_path: Path) -> None:
    checker = shutil.which("systemd-analyze")
    if checker is None:
        absent("systemd", "the program systemd-analyze is not installed")
    for file in UNITS.iterdir():
        text = file.read_text().replace(f"{HOME}/.venv/bin/python", sys.executable)
        # A template is judged by an instance of it.
        name = file.name.replace("@.", "@mms-monitor.service.")
        (tmp_path / name).write_text(text.replace("User=mms\n", ""))
    done = subprocess.run(
        [checker, "verify", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    problems = [line for line in done.stderr.splitlines() if "mms-" in line]
    assert problems == []
    assert done.returncode == 0, done.stderr


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A PATH whose programs change nothing: they only record their arguments and input."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("useradd", "chown", "systemctl", "mail", "id"):
        stand_in = programs / name
        ends = "exit 1" if name == "id" else "[ -t 0 ] || cat >>{0}/given"
        stand_in.write_text(
            f'#!/bin/sh\necho "{name} $*" >>{programs}/asked\n{ends.format(programs)}\n'
        )
        stand_in.chmod(0o755)
    journal = programs / "journalctl"
    journal.write_text('#!/bin/sh\necho "the journal of $*"\n')
    journal.chmod(0o755)
    return programs, {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}


def test_the_lines_of_the_page_install_every_unit_and_start_the_timers(
    tmp_path: Path, recorded: tuple[Path, dict[str, str]]
) -> None:
    programs, environment = recorded
    system = tmp_path / "system"
    system.mkdir()
    (tmp_path / "infra").symlink_to(ROOT / "infra")
    (block,) = [each.text for each in blocks(PAGE) if "systemctl" in each.text]
    command = f"set -e\n{block}".replace("/etc/systemd/system/", f"{system}/")
    done = shell(command, tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in system.iterdir()} == {file.name for file in UNITS.iterdir()}
    timers = sorted(file.name for file in UNITS.glob("*.timer"))
    assert (programs / "asked").read_text().splitlines() == [
        "id mms",
        "useradd --system mms",
        "chown -R mms data",
        "systemctl daemon-reload",
        f"systemctl enable --now {' '.join(timers)}",
    ]
    assert {unit(f"{name}.service")["Service"]["User"] for name in SERVICES} == {"mms"}


def test_a_monitor_that_fails_sends_the_lines_of_its_journal(
    tmp_path: Path, recorded: tuple[Path, dict[str, str]]
) -> None:
    programs, environment = recorded
    told = unit("mms-monitor.service")["Unit"]["OnFailure"].replace("%n", "mms-monitor.service")
    template, _, instance = told.removesuffix(".service").partition("@")
    command = unit(f"{template}@.service")["Service"]["ExecStart"].replace("%i", instance)
    done = shell(command, tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert (programs / "asked").read_text() == "mail -s mms-monitor.service has failed root\n"
    given = (programs / "given").read_text()
    assert given == "the journal of --unit=mms-monitor.service --lines=100 --no-pager\n"
