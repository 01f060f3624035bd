"""A standard output that is closed or full ends no work, and its loss is said once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper

import pytest

from app.commands.output import (
    UNDELIVERED,
    delivered,
    help_text,
    line,
    progress,
    result,
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


@pytest.mark.parametrize(
    ("work", "code", "expected"),
    [
        (people, 0, 0),
        (people, 1, 1),
        (people_and_machines, 0, UNDELIVERED),
        (people_and_machines, 1, 1),
    ],
)
def test_only_a_lost_result_changes_an_exit_code_and_only_that_of_success(
    capsys: pytest.CaptureFixture[str], work: Callable[[int], int], code: int, expected: int
) -> None:
    full = Full()
    with redirect_stdout(full):
        assert delivered("tried", lambda: work(code)) == expected
    lost = "tried: ended, but its output is lost (standard output: No space left on device)\n"
    assert capsys.readouterr().err == lost
    assert full.failures == 1  # whatever follows the first failure is dropped


@pytest.mark.parametrize(
    ("show", "stdout", "expected", "lines"),
    [
        (help_text, Left(), 0, 0),
        (help_text, Full(), UNDELIVERED, 1),
        (result, Left(), UNDELIVERED, 1),
    ],
)
def test_a_reader_who_leaves_a_help_has_lost_nothing(
    capsys: pytest.CaptureFixture[str],
    show: Callable[[str], None],
    stdout: StringIO,
    expected: int,
    lines: int,
) -> None:
    with redirect_stdout(stdout):
        assert delivered("tried", lambda: show("usage: tried")) == expected
    assert len(capsys.readouterr().err.splitlines()) == lines


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
