"""Ctrl-C at any moment: a quiet end with the exit code that is documented."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.patience import until
from tests.support.processes import DEADLINE, ROOT, ended, environment, process, url_in_log

RUN_BY_ANOTHER = {
    "app.__main__": ["app", "serve"],
    "app.processes.child": ["app.processes.child", "app.workers.price_collector"],
}
CONSOLE_SCRIPT = "import sys\nfrom app.__main__ import console\nsys.exit(console())\n"
INTERRUPTED = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"


def commands() -> list[str]:
    """Every module that is run as a command and logs."""
    found = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        if 'if __name__ == "__main__":' in path.read_text() and "sandbox" not in path.parts:
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        *(["-m", *RUN_BY_ANOTHER.get(name, [name])] for name in commands()),
        ["mms", "serve"],
    ],
    ids=" ".join,
)
def test_an_interrupt_while_a_command_is_being_imported_is_no_traceback(
    tmp_path: Path, arguments: list[str]
) -> None:
    # Everybody imports this library, and here it is interrupted.
    (tmp_path / "pydantic.py").write_text(INTERRUPTED)
    (tmp_path / "mms").write_text(CONSOLE_SCRIPT)  # as pip installs it
    with process(tmp_path, *arguments, PYTHONPATH=f"{tmp_path}:{ROOT}") as child:
        child.wait(DEADLINE)  # with its standard input open, whose end is a reason to end, too
        code, said = ended(child)
    # Ended by the signal: a shell reports that as 130.
    assert (code, said) == (-signal.SIGINT, "")


def test_an_interrupt_that_is_switched_off_stays_so(tmp_path: Path) -> None:
    # As of a command that a script starts in the background.
    (tmp_path / "pydantic.py").write_text(INTERRUPTED.replace("time.sleep(60)", "1 / 0"))
    ignoring = f"trap '' INT; exec {sys.executable} -m app.serve"
    started = subprocess.run(
        ["sh", "-c", ignoring],
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}"),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert started.returncode == 1
    assert "ZeroDivisionError" in started.stderr


@pytest.mark.parametrize(
    ("arguments", "number", "said"),
    [
        (
            ["-m", "app.workers.initial_loader"],
            signal.SIGINT,
            "initial_loader: interrupted; what was committed stays\n",
        ),
        (
            ["-m", "app.commands.backup", "backup", "f"],
            signal.SIGINT,
            "backup: interrupted; nothing was changed\n",
        ),
        (
            ["mms", "backup", "f"],
            signal.SIGTERM,
            "backup: terminated; nothing was changed\n",
        ),
        (
            ["mms", "migrate"],
            signal.SIGINT,
            "migrate: interrupted; nothing was changed\n",
        ),
    ],
    ids=["load", "backup", "mms backup", "mms migrate"],
)
def test_a_signal_to_a_command_at_work_has_its_line_and_its_exit_code(
    tmp_path: Path, arguments: list[str], number: signal.Signals, said: str
) -> None:
    (tmp_path / "mms").write_text(CONSOLE_SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DEADLINE)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        changed = {"DB_URL": f"postgresql://mms@{address}/mms"}
        if "app.workers.initial_loader" in arguments:
            changed = {"MB_API_BASE_URL": f"http://{address}/api/v4"}
        with process(tmp_path, *arguments, **changed) as child:
            # Who is asked something and does not answer is being waited for.
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(1)
                child.send_signal(number)
                code, lines = ended(child)
                first, *rest = lines.splitlines(keepends=True)
                assert json.loads(first)["event"] == "database_in_use"
                assert (code, rest) == (128 + number, [said])


def test_a_second_interrupt_ends_a_server_at_once_and_without_a_traceback(tmp_path: Path) -> None:
    with process(tmp_path, "-m", "app.serve", "--port", "0", "--drain", "60") as child:
        url = url_in_log(child)
        child.send_signal(signal.SIGINT)
        until(lambda: httpx.get(f"{url}/readyz", timeout=DEADLINE).status_code == 503)
        child.send_signal(signal.SIGINT)
        code, said = ended(child)
    assert code == 0
    events = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in events if line["event"] != "http_request"] == [
        "server_stopping",
        "server_stopped",
    ]
