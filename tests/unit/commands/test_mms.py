"""`mms`: every command under one name, each the same as its module."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import __version__
from app.__main__ import COMMANDS, main
from app.core.how_to_run import FRONT
from app.main import create_app
from app.sources.http import USER_AGENT
from tests.support.logs import log_as_before
from tests.support.processes import ROOT

WORDS = (
    *("serve", "local", "demo", "load", "update", "reload", "collect", "monitor"),
    *("migrate", "backup", "restore", "keys", "sandbox"),
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No .env; the log as it was at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FRONT, "mms")  # as `main` does, and here until the test ends
    with log_as_before():
        yield


def test_the_help_lists_every_command_with_what_it_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tuple(COMMANDS) == WORDS
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: mms COMMAND [ARGUMENT...]"
    listed = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
    assert [(name, bool(about)) for name, about in listed] == [(word, True) for word in WORDS]


@pytest.mark.parametrize("word", WORDS)
def test_each_has_a_help_of_its_own_that_says_how_it_was_called(
    capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert main([word, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: mms {word} [-h]")
    command = COMMANDS[word]
    words = [] if command.word is None else [command.word]
    assert importlib.import_module(command.module).main([*words, "--help"]) == 0
    module = command.module.removesuffix(".__main__")
    assert capsys.readouterr().out.startswith(f"usage: python -m {' '.join([module, *words])} [-h]")


@pytest.mark.parametrize("arguments", [["moon"], []])
def test_an_unknown_command_ends_with_2_and_one_line_that_names_all(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert ", ".join(WORDS) in said.err


def test_arguments_and_exit_codes_are_those_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def last() -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(capsys.readouterr().out)
        return summary

    monkeypatch.setenv("DB_URL", f"sqlite:///{tmp_path / 'mms.db'}")
    for migrated in (True, False):
        assert main(["migrate", "--json"]) == 0
        summary = last()
        assert (summary["command"], summary["exit"]) == ("migrate", 0)
        assert summary["migrated"] is migrated
    assert main(["backup", "b.mmsb", "--json"]) == 0
    backup = last()
    assert main(["restore", "b.mmsb", "--json"]) == 0
    assert last() == {**backup, "command": "restore"}
    assert main(["restore", "absent", "--json"]) == 2
    assert last()["error"] == "ConfigurationError"
    monkeypatch.setenv("DB_URL", "mysql://x/y")
    assert main(["migrate", "--json"]) == 2
    assert last()["error"] == "ConfigurationError"


def test_the_help_imports_no_command_and_none_of_their_libraries() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from app.__main__ import main
main(["--help"])
print(*(name for name in sys.modules if name.split(".")[0] == "app"), file=sys.stderr)
print(*{{name.split(".")[0] for name in sys.modules}} - sys.stdlib_module_names, file=sys.stderr)
"""
    # Without site: what measures coverage imports much.
    command = [sys.executable, "-I", "-S", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    ours, others = (set(line.split()) for line in run.stderr.splitlines())
    core = {"app.core", "app.core.how_to_run", "app.core.redaction"}
    assert ours == {"app", "app.__main__", "app.commands", "app.commands.output", *core}
    assert others <= {"app", "__main__"}


def test_it_runs_as_a_module_too() -> None:
    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "app", *arguments]
        end = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return end.returncode, end.stdout

    assert run("--version") == (0, f"mms {__version__}\n")
    code, shown = run("migrate", "--help")
    assert code == 0
    assert shown.startswith("usage: python -m app migrate [-h]")
    assert run("moon")[0] == 2


@pytest.mark.parametrize(
    ("start", "typed"),
    [("console()", "mms"), ("main(prog='python -m app')", "python -m app")],
)
def test_messages_name_commands_as_this_one_was_started(
    tmp_path: Path, start: str, typed: str
) -> None:
    code = f"from app.__main__ import console, main; {start}"
    bare = {name: value for name, value in os.environ.items() if name != FRONT}
    end = subprocess.run(
        [sys.executable, "-c", code, "monitor"],
        env={**bare, "PYTHONPATH": str(ROOT), "DB_URL": f"sqlite:///{tmp_path}/absent.db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"make one ({typed} migrate, {typed} load)" in end.stderr


def test_the_version_stands_in_one_place() -> None:
    assert create_app().api.version == __version__
    assert f"/{__version__} " in USER_AGENT
