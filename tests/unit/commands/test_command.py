"""How commands end early: the exit code, a sentence for people, a JSON line for machines."""

from __future__ import annotations

import json
import os
import signal
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.commands.command import (
    CommandFailed,
    Ending,
    Terminated,
    command_parser,
    plain_parser,
    run,
    whole_number,
)
from app.core.errors import StoreUnavailable, UnsupportedPair, UpstreamNonsense
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
        ({"ENV": "prod", "SINGLE_NODE": "true"}, [], "StoreUnusable", "python -m app "),
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
    last: dict[str, Any] = json.loads(said.out)
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
        (UnsupportedPair("No pair."), 2, "could not start: No pair."),
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


def test_work_may_have_an_exit_code_and_a_sentence_of_its_own_and_names_the_cause(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> int:
        try:
            raise StoreUnavailable("The database is away.")
        except StoreUnavailable as error:
            raise CommandFailed(1, f"{error} Nothing was changed.") from error

    reason = "The database is away. Nothing was changed."
    code, out, err = ending(capsys, work, "--json")
    assert (code, err) == (1, [f"tried: {reason}"])
    assert [json.loads(line) for line in out] == [
        {"command": "tried", "exit": 1, "error": "StoreUnavailable", "reason": reason}
    ]


def test_a_command_that_ends_by_itself_may_say_what_an_interrupt_leaves_and_have_the_last_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(_settings: Settings, _options: Namespace) -> int:
        raise KeyboardInterrupt

    ends: list[Ending] = []

    def conclude(end: Ending) -> int:
        ends.append(end)
        return 7

    def tried(*arguments: str) -> int:
        parser = command_parser("tried", None)
        return run(
            "tried", parser, arguments, interrupted, conclude=conclude, stays="all of it stays"
        )

    assert tried("--json") == 7
    reason = "interrupted; all of it stays"
    assert ends == [Ending("tried", 130, True, "KeyboardInterrupt", reason)]
    # Help is no end of any work.
    assert tried("--help") == 0
    assert len(ends) == 1
    assert capsys.readouterr().out.startswith("usage: tried ")


def test_a_command_that_serves_has_its_own_signals_and_settings_from_its_options() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    parser = plain_parser("tried", None)
    parser.add_argument("--port")
    ports: list[int] = []

    def work(settings: Settings, _options: Namespace) -> int:
        ports.append(settings.port)
        assert [signal.getsignal(number) for number in numbers] == before
        return 0

    code = run(
        "tried",
        parser,
        ["--port", "81"],
        work,
        overrides=lambda options: {"port": options.port},
        own_signals=True,
    )
    assert (code, ports) == (0, [81])


@pytest.mark.parametrize("text", ["-1", "3601", "1.5", "", "x", "9" * 20, "٣"])
def test_a_number_that_is_none_or_out_of_bounds_is_refused_with_the_bounds(text: str) -> None:
    read = whole_number(0, 3_600)
    assert [read("0"), read("3600")] == [0, 3_600]
    with pytest.raises(ArgumentTypeError, match="is no whole number from 0 to 3600"):
        read(text)


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
