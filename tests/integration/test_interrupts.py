"""Ctrl-C at any moment: a quiet end with the exit code that is documented."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx
import pytest

from tests.support.patience import until
from tests.support.processes import ROOT, ended, process, url_in_log

INTERRUPTED = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"


def commands() -> list[str]:
    """Every module that is run as a command and logs."""
    found = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        if 'if __name__ == "__main__":' in path.read_text() and "sandbox" not in path.parts:
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


def test_the_commands_are_found() -> None:
    assert {"app.local", "app.demo", "app.serve", "app.workers.initial_loader"} < set(commands())


@pytest.mark.parametrize("module", commands())
def test_an_interrupt_while_a_command_is_being_imported_is_no_traceback(
    tmp_path: Path, module: str
) -> None:
    # Everybody imports this library, and here it is interrupted.
    (tmp_path / "structlog.py").write_text(INTERRUPTED)
    with process(tmp_path, "-m", module, PYTHONPATH=f"{tmp_path}:{ROOT}") as child:
        code, said = ended(child)
    # Ended by the signal: a shell reports that as 130.
    assert (code, said) == (-signal.SIGINT, "")


def test_what_else_goes_wrong_while_a_command_is_being_imported_is_shown(tmp_path: Path) -> None:
    (tmp_path / "structlog.py").write_text("1 / 0\n")
    with process(tmp_path, "-m", "app.serve", PYTHONPATH=f"{tmp_path}:{ROOT}") as child:
        code, said = ended(child)
    assert code == 1
    assert said.endswith("ZeroDivisionError: division by zero\n")


def test_a_second_interrupt_ends_a_server_at_once_and_without_a_traceback(tmp_path: Path) -> None:
    with process(tmp_path, "-m", "app.serve", "--port", "0", "--drain", "60") as child:
        url = url_in_log(child)
        child.send_signal(signal.SIGINT)
        until(lambda: httpx.get(f"{url}/readyz").status_code == 503)
        child.send_signal(signal.SIGINT)
        code, said = ended(child)
    assert code == 0
    events = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in events if line["event"] != "http_request"] == [
        "server_stopping",
        "server_stopped",
    ]
