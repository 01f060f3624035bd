"""How commands end early: the exit code, one sentence for people, and a line of JSON for machines."""

from __future__ import annotations

import json
import os
import signal
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.commands.command import Terminated, command_parser, run
from app.core.errors import StoreUnavailable, UpstreamNonsense
from app.core.settings import Settings
from app.monitoring import gap_monitor
from app.workers import incremental_loader, initial_loader, price_collector
from tests.support.logs import log_as_before

COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "initial_loader": initial_loader.main,
    "incremental_loader": incremental_loader.main,
    "price_collector": price_collector.main,
    "gap_monitor": gap_monitor.main,
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No database and no .env; the log as it was at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_URL", f"sqlite:///{tmp_path / 'mms.db'}")
    with log_as_before():
        yield


def ending(
    capsys: pytest.CaptureFixture[str], work: Callable[[], int], *arguments: str
) -> tuple[int, list[str], list[str]]:
    """Exit code, standard output and standard error of a command that does this work."""
    known = command_parser("app.workers.tried", "A command.")

    def doing(_settings: Settings, _options: Namespace) -> int:
        return work()

    code = run("tried", known, arguments, doing)
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err.splitlines()


def raising(error: BaseException) -> Callable[[], int]:
    """Work that ends with an error."""

    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("settings", "arguments", "error", "says"),
    [
        ({"HISTORY_DAYS": "x"}, [], "ConfigurationError", "HISTORY_DAYS"),
        ({"ENV": "prod", "SINGLE_NODE": "true"}, [], "StoreUnusable", "make "),
        ({}, ["--unheard-of"], "BadCommandLine", "--unheard-of"),
    ],
)
def test_what_prevents_a_start_is_a_line_of_json_where_that_is_wanted(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    settings: dict[str, str],
    arguments: list[str],
    error: str,
    says: str,
) -> None:
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    assert COMMANDS[name]([*arguments, "--json"]) == 2
    said = capsys.readouterr()
    last: dict[str, Any] = json.loads(said.out.splitlines()[-1])
    assert (last["command"], last["exit"], last["error"]) == (name, 2, error)
    assert says in last["reason"]
    assert f"{name}: {last['reason']}" in said.err.splitlines()
    # And nothing of it where it is not wanted.
    assert COMMANDS[name](arguments) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (StoreUnavailable("The database is away."), 2, "could not start: The database is away."),
        (UpstreamNonsense("No list.", host="exchange"), 1, "No list."),
        (ZeroDivisionError(), 1, "crashed; the log says where"),
        (KeyboardInterrupt(), 130, "interrupted; what was committed stays"),
        (Terminated(), 143, "terminated; what was committed stays"),
    ],
)
def test_what_ends_the_work_early_has_its_exit_code_and_its_reason(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, reason: str
) -> None:
    got, out, err = ending(capsys, raising(error), "--json")
    assert (got, err[-1]) == (code, f"tried: {reason}")
    assert [json.loads(line) for line in out] == [
        {"command": "tried", "exit": code, "error": type(error).__name__, "reason": reason}
    ]
    again, out, err = ending(capsys, raising(error))
    assert (again, out, err[-1]) == (code, [], f"tried: {reason}")


@pytest.mark.parametrize("code", [0, 1])
def test_work_that_was_done_has_printed_its_own_last_line(
    capsys: pytest.CaptureFixture[str], code: int
) -> None:
    assert ending(capsys, lambda: code, "--json") == (code, [], [])


def test_a_second_termination_does_not_interrupt_the_end_of_the_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended: list[str] = []

    def work() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)  # the signal ends it at once
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            ended.append("what was begun")
        return 0

    before = signal.getsignal(signal.SIGTERM)
    try:
        assert ending(capsys, work)[0] == 143
        assert ended == ["what was begun"]
        # Nor the rest of the process, whose exit code it would change.
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
