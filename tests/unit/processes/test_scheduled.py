"""The schedules of a container: what they run, how they wait, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.core.market import Pair
from app.processes.keeper import MONITOR, ChildEnd, Children, Periodic
from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 60.0


class Script(Children):
    """Plays given exit codes, one a run, and records what was run."""

    def __init__(self, codes: Sequence[int]) -> None:
        super().__init__({})
        self.codes = list(codes)
        self.ran: list[tuple[str, ...]] = []

    def run(self, module: str, *arguments: str) -> ChildEnd:
        self.ran.append((module, *arguments))
        return ChildEnd(self.codes[len(self.ran) - 1], None)


def test_a_command_is_run_again_and_again_whatever_it_ends_with() -> None:
    script, waits = Script([0, 1, -2]), list[float]()

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(script.ran) == 3

    with capture_logs() as logged:
        Periodic(MONITOR, ["--repair"], script, every=60.0, wait=wait).run()
    assert script.ran == [(MONITOR, "--repair")] * 3
    assert waits == [60.0] * 3
    # A Ctrl-C reaches all of a terminal's processes, and is no failure.
    told = [(line["log_level"], line["exit_code"]) for line in logged]
    assert told == [("info", 0), ("warning", 1)]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which the exchange is a stand-in and the database a new one."""
    with serve(Exchange(Simulation(7, {Pair("BTC", "BRL"): None}), clock=time.time)) as url:
        yield {
            **os.environ,
            "ALLOWED_PAIRS": "BRLBTC",
            "HISTORY_DAYS": "30",
            "DB_URL": f"sqlite:///{tmp_path / 'mms.db'}",
            "MB_API_BASE_URL": f"{url}/api/v4",
            "MB_REQUESTS_PER_SECOND": "1000",
            "LOG_FORMAT": "json",
        }


@pytest.mark.parametrize(
    ("what", "sign"), [("load", "load_finished"), ("monitor", "scheduled_run_finished")]
)
def test_it_works_as_a_process_and_ends_with_0_when_told_to_stop(
    environment: dict[str, str], what: str, sign: str
) -> None:
    command = [sys.executable, "-m", "app.processes.scheduled", what]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if sign in line:
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(PATIENCE) == 0
    assert "schedule_stopped" in rest


def test_a_bad_setting_stops_it_with_one_line(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.processes.scheduled", "load"],
        cwd=ROOT,
        env={**environment, "INTERVALS": "2d"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("scheduled: could not start: INTERVALS")
