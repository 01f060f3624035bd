"""A command gets the role that GitHub's token stands for, and the token goes nowhere else.

That signals reach the command tests/house shows, with the line of the workflow.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.release.identity import main

GITHUB = {
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://github.example/token?v=1",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "asked-with",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/deploy",
    "GITHUB_RUN_ID": "42",
}
SHOW = (
    "import json, os, pathlib, sys; e = os.environ; file = e.get('AWS_WEB_IDENTITY_TOKEN_FILE');"
    "path = pathlib.Path(file) if file else None;"
    "pathlib.Path(sys.argv[1]).write_text(json.dumps([path and path.read_text(),"
    " path and oct(path.stat().st_mode)[-3:], e.get('AWS_ROLE_SESSION_NAME'), file]))"
)


class GitHub:
    """What hands out tokens; `asked` holds the questions."""

    def __init__(self, reply: bytes | OSError = b'{"value": "a.signed.token"}') -> None:
        self.reply = reply
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def __call__(self, url: str, headers: Mapping[str, str]) -> bytes:
        self.asked.append((url, headers))
        if isinstance(self.reply, OSError):
            raise self.reply
        return self.reply


def run(file: Path, environment: Mapping[str, str], github: GitHub) -> int:
    return main([sys.executable, "-c", SHOW, str(file)], environment, github)


def test_the_command_finds_the_token_in_a_file_that_is_gone_afterwards(tmp_path: Path) -> None:
    github = GitHub()
    shown = tmp_path / "shown"
    assert run(shown, {**GITHUB, "RUNNER_TEMP": str(tmp_path)}, github) == 0
    value, mode, session, file = json.loads(shown.read_text())
    assert (value, mode, session) == ("a.signed.token", "600", "github-42")
    assert not Path(file).exists()
    assert github.asked == [
        (
            "https://github.example/token?v=1&audience=sts.amazonaws.com",
            {"Authorization": "bearer asked-with"},
        )
    ]


def test_outside_of_github_the_command_runs_with_what_is_there(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    assert run(shown, {"AWS_PROFILE": "mine"}, GitHub()) == 0
    assert json.loads(shown.read_text()) == [None, None, None, None]


def test_the_exit_code_is_the_commands() -> None:
    command = [sys.executable, "-c", "raise SystemExit(7)"]
    assert main(command, GITHUB, GitHub()) == 7


@pytest.mark.parametrize("reply", [b"<html>", b"{}", OSError("refused")])
def test_without_a_token_nothing_runs_and_no_secret_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reply: bytes | OSError
) -> None:
    shown = tmp_path / "shown"
    assert run(shown, GITHUB, GitHub(reply)) == 2
    assert not shown.exists()
    assert "asked-with" not in capsys.readouterr().err
