"""A standard output that is closed or full ends no work, and its loss is said once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import BytesIO, StringIO, TextIOWrapper

import pytest

from app.commands.output import (
    UNDELIVERED,
    delivered,
    json_line,
    json_only,
    line,
    nobody_reads,
    progress,
    result,
    say,
    table,
)


class Full(StringIO):
    """A file on a disk that is full: it takes a write, and fails when that has to be kept."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0

    def flush(self) -> None:
        self.failures += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Left(StringIO):
    """A pipe whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def people(code: int) -> int:
    table(("pair",), [("BTC-BRL",)])
    line("all is well")
    return code


def people_and_machines(code: int) -> int:
    people(code)
    result("{}")
    return code


NO_ROOM = "tried: ended, but its output is lost (standard output: No space left on device)\n"
NO_READER = "tried: ended, but its output is lost (standard output: Broken pipe)\n"


@pytest.mark.parametrize(
    ("stdout", "work", "expected", "said"),
    [
        (Full(), people, UNDELIVERED, NO_ROOM),
        (Full(), people_and_machines, UNDELIVERED, NO_ROOM),
        # Whoever leaves a table has what it wants; of a result it has nothing.
        (Left(), people, 0, ""),
        (Left(), people_and_machines, UNDELIVERED, NO_READER),
    ],
)
def test_lost_output_is_said_and_changes_the_exit_code_of_success_alone(
    capsys: pytest.CaptureFixture[str],
    stdout: StringIO,
    work: Callable[[int], int],
    expected: int,
    said: str,
) -> None:
    for code in (0, 1):
        with redirect_stdout(stdout):
            assert delivered("tried", partial(work, code)) == (code or expected)
        assert capsys.readouterr().err == said


def test_whatever_follows_the_first_failure_is_dropped() -> None:
    full = Full()
    with redirect_stdout(full):
        delivered("tried", lambda: people_and_machines(0))
    assert full.failures == 1


@pytest.mark.parametrize("stderr", [Full(), Left(), None])
def test_a_standard_error_that_is_lost_loses_nothing_else(
    capsys: pytest.CaptureFixture[str], stderr: StringIO | None
) -> None:
    def work() -> int:
        say("at work")
        return people_and_machines(1)

    with redirect_stderr(stderr):
        assert delivered("tried", work) == 1
    assert capsys.readouterr().out == "pair\nBTC-BRL\nall is well\n{}\n"


def test_with_json_standard_output_has_that_alone(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        json_only()
        people_and_machines(0)
        json_line({"exit": 0})
        return 0

    assert delivered("tried", work) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ('{"exit":0}\n', "pair\nBTC-BRL\nall is well\n{}\n")
    with nobody_reads():
        assert delivered("tried", work) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ('{"exit":0}\n', "")


def test_a_command_that_prints_nothing_needs_no_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with redirect_stdout(Full()):
        assert delivered("tried", lambda: 0) == 0
    assert capsys.readouterr().err == ""


def test_what_is_printed_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    assert delivered("tried", lambda: people_and_machines(0)) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("pair\nBTC-BRL\nall is well\n{}\n", "")


def test_letters_that_standard_output_does_not_have_are_escaped() -> None:
    printed = BytesIO()
    terminal = TextIOWrapper(printed, encoding="latin-1")
    with redirect_stdout(terminal):
        assert delivered("tried", lambda: table(("é",), [("币安",), ("BTC",)])) == 0
    assert printed.getvalue() == b"\xe9\n\\u5e01\\u5b89\nBTC\n"


class Terminal(StringIO):
    """A wide terminal; everything that was written stays."""

    def isatty(self) -> bool:
        return True


def test_progress_stays_at_its_total_when_more_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with redirect_stderr(Terminal()) as shown, progress({"BRLBTC 1d": 100}) as advance:
        for _ in range(4):
            advance("BRLBTC 1d", 30)
    assert "100/100" in shown.getvalue()
    assert "120/100" not in shown.getvalue()
