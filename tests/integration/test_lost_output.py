"""Commands as processes whose standard output is closed or full: the work is done all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Service, service
from tests.support.processes import DEADLINE, environment

CLOSED, FULL = "Broken pipe", "No space left on device"


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Service]:
    """A service with everything loaded."""
    with service(tmp_path) as made:
        assert made.run("workers.initial_loader").code == 0
        yield made


def lost(reason: str, made: Service, *arguments: str) -> tuple[int, list[str]]:
    """Exit code, and what of standard error is not the log, of a command whose output is lost."""
    if reason == FULL:
        stdout = os.open("/dev/full", os.O_WRONLY)
    else:
        nobody, stdout = os.pipe()
        os.close(nobody)
    try:
        end = subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            cwd=made.folder,
            env=environment(made.folder, **made.settings),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    finally:
        os.close(stdout)
    return end.returncode, [line for line in end.stderr.splitlines() if not line.startswith("{")]


@pytest.mark.parametrize("reason", [CLOSED, FULL])
def test_a_summary_that_is_lost_is_said_and_a_result_that_is_lost_is_exit_3(
    loaded: Service, reason: str
) -> None:
    def said(command: str) -> list[str]:
        return [f"{command}: ended, but its output is lost (standard output: {reason})"]

    assert lost(reason, loaded, "update") == (0, said("incremental_loader"))
    assert lost(reason, loaded, "update", "--json") == (3, said("incremental_loader"))
    assert lost(reason, loaded, "monitor", "--json") == (3, said("gap_monitor"))
    assert lost(reason, loaded, "collect", "--fetch", "BTC") == (3, said("price_collector"))
    # A reader who leaves has lost nothing of a help; a full disk has.
    for command, *arguments in [("python -m app", "--help"), ("serve", "serve", "--help")]:
        expected = (3, said(command)) if reason == FULL else (0, [])
        assert lost(reason, loaded, *arguments) == expected
    # What prints nothing there loses nothing.
    code, lines = lost(reason, loaded, "migrate")
    assert (code, len(lines)) == (0, 1)
