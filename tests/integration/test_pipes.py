"""Commands in pipes: JSON alone where it was asked for, and output that is closed or full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.commands import Service, days_ago, service
from tests.support.ports import free_port
from tests.support.processes import DEADLINE, environment

CLOSED, FULL = "Broken pipe", "No space left on device"


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Service]:
    """A service with everything loaded."""
    with service(tmp_path) as made:
        assert made.run("workers.initial_loader").code == 0
        yield made


def run(
    folder: Path,
    arguments: Sequence[str],
    settings: dict[str, str],
    stdout: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=folder,
        env=environment(folder, **settings),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def lost(reason: str, made: Service, *arguments: str) -> tuple[int, list[str]]:
    """Exit code, and what of standard error is not the log, of a command whose output is lost."""
    if reason == FULL:
        stdout = os.open("/dev/full", os.O_WRONLY)
    else:
        nobody, stdout = os.pipe()
        os.close(nobody)
    try:
        end = run(made.folder, arguments, made.settings, stdout)
    finally:
        os.close(stdout)
    return end.returncode, [line for line in end.stderr.splitlines() if not line.startswith("{")]


@pytest.mark.parametrize("reason", [CLOSED, FULL])
def test_lost_output_is_exit_3_unless_its_reader_has_left_a_table(
    loaded: Service, reason: str
) -> None:
    def said(command: str) -> list[str]:
        return [f"{command}: ended, but its output is lost (standard output: {reason})"]

    # Who leaves before the result has nothing of it.
    assert lost(reason, loaded, "collect", "--fetch", "BTC") == (3, said("price_collector"))
    for command, module in (("update", "incremental_loader"), ("monitor", "gap_monitor")):
        code, lines = lost(reason, loaded, command, "--json")
        assert (code, lines[-1:]) == (3, said(module))
        # Who leaves a table, as `head` does, has what it wants. A full disk is another matter.
        expected = (3, said(module)) if reason == FULL else (0, [])
        assert lost(reason, loaded, command) == expected
    for command, *arguments in [("python -m app", "--help"), ("serve", "serve", "--help")]:
        expected = (3, said(command)) if reason == FULL else (0, [])
        assert lost(reason, loaded, *arguments) == expected
    # What prints nothing there loses nothing.
    code, lines = lost(reason, loaded, "migrate")
    assert (code, len(lines)) == (0, 1)
    # A check that found something keeps its own code.
    loaded.query("DELETE FROM averages")
    assert lost(reason, loaded, "monitor")[0] == 1
    assert lost(reason, loaded, "monitor", "--json")[0] == 1


def test_a_result_for_a_closed_output_is_lost_and_a_table_is_not_wanted(loaded: Service) -> None:
    for arguments, code in (("--json", 3), ("", 0)):
        end = shell(loaded, f"{sys.executable} -m app monitor {arguments} >&-")
        assert (end.returncode, "its output is lost" in end.stderr) == (code, code == 3)


@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-", "2> >(true)"])
def test_a_lost_log_ends_no_work_and_loses_no_result(loaded: Service, stream: str) -> None:
    for command, code in (("monitor", 0), ("monitor --strict --pairs X", 2), ("nothing", 2)):
        end = shell(loaded, f"{sys.executable} -m app {command} --json {stream}")
        assert end.returncode == code
        assert command == "nothing" or json.loads(end.stdout)["exit"] == code


def test_a_pipe_into_head_ends_with_the_code_of_the_check(loaded: Service) -> None:
    monitor = f"set -o pipefail; {sys.executable} -m app monitor"
    for code in (0, 1):
        for piped in ("| head -n 1", "| head -n 0", "2>&1 | head -n 1", "2>&1 | head -n 0"):
            end = shell(loaded, f"{monitor} {piped}")
            assert (end.returncode, "Traceback" in end.stderr) == (code, False)
        loaded.query("DELETE FROM averages")


def shell(made: Service, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash with the service's settings."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=made.folder,
        env=environment(made.folder, **made.settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


EVERY = [
    "load",
    "update",
    "reload BRLBTC",
    "collect --once",
    "monitor",
    "migrate",
    "backup b.mmsb",
    "restore b.mmsb",
    "keys list",
]
"""The commands that read settings and take --json."""

STATES = {
    "loaded": (
        0,
        [*EVERY[:-2], "keys list", "keys new", "collect --fetch BTC", "monitor --repair"],
    ),
    "holes": (1, ["monitor"]),
    "away": (1, ["load", "update", "collect --once", "collect --fetch BTC", "monitor --repair"]),
    "misset": (2, ["update", "collect --once", "monitor", "backup b.mmsb", "keys list"]),
    "mistyped": (2, EVERY),
}
"""The exit code of commands in each state of the service."""


@pytest.mark.parametrize("state", STATES)
def test_standard_output_is_one_document_of_json_however_a_command_ends(
    loaded: Service, state: str
) -> None:
    code, commands = STATES[state]
    settings = dict(loaded.settings)
    if state in ("holes", "away"):
        loaded.query("DELETE FROM averages")
        loaded.query("DELETE FROM candles WHERE bucket > ?", days_ago(5))
    if state == "away":
        nowhere = f"http://127.0.0.1:{free_port()}"
        settings |= {"MB_API_BASE_URL": nowhere, "COINGECKO_API_BASE_URL": nowhere}
        settings |= {"UPSTREAM_RETRY_SECONDS": "1"}
    if state == "misset":
        settings |= {"HISTORY_DAYS": "x"}
    wrong = []
    for command in commands:
        words = [*command.split(), "--json", *(["--unheard-of"] if state == "mistyped" else ())]
        end = run(loaded.folder, words, settings)
        try:
            document = json.loads(end.stdout)
        except ValueError:
            document = {"exit": end.stdout}
        # One line, and the exit code is in it.
        if (end.returncode, document["exit"], end.stdout.count("\n")) != (code, code, 1):
            wrong.append((command, end.returncode, end.stdout, end.stderr[-300:]))
    assert wrong == []
