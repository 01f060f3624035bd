"""Secrets are looked for in everything that was ever committed, and an exemption has its reason."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from checks.audit.secrets import Allowed, read_allowed, search, versions_of
from checks.report import CannotCheckError
from tests.conftest import absent


def scan(line: str) -> list[str]:
    """A detector that takes every line with `secret` for one."""
    return ["Secret"] if "secret" in line else []


def rules(tmp_path: Path, text: str) -> tuple[Allowed, ...]:
    file = tmp_path / "allowed.txt"
    file.write_text(text)
    return read_allowed(file)


def test_each_line_is_looked_at_once_and_shown_in_part(tmp_path: Path) -> None:
    versions = [
        ("a", "one\nmy secret is very long and goes on\n"),
        ("b", "my secret is very long and goes on\ntwo"),
    ]
    done = search(versions, (), scan)
    (found,) = done.found
    assert (found.path, found.shown) == ("a", "my secret is very long a…")
    assert (done.blobs, done.lines) == (2, 3)


def test_an_exemption_covers_what_it_names_and_is_known_to_be_used(tmp_path: Path) -> None:
    allowed = rules(tmp_path, "# An example.\nno secret\n\n# Another.\nnever there\n")
    done = search([("a", "no secret\na secret\n")], allowed, scan)
    assert [each.shown for each in done.found] == ["a secret…"]
    assert [rule.reason for rule in done.used] == ["An example."]


def test_an_exemption_without_a_reason_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotCheckError, match="no reason"):
        rules(tmp_path, "# A reason.\none\n\ntwo\n")


def test_what_was_removed_and_what_is_only_staged_is_found(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        absent("git", "git is not installed")

    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-b", "main")
    (tmp_path / "a.txt").write_text("an old secret\n")
    git("add", ".")
    git("commit", "-m", "one")
    (tmp_path / "a.txt").write_text("nothing\n")
    git("commit", "-am", "two")
    (tmp_path / "b.txt").write_text("a staged secret\n")
    git("add", "b.txt")
    (tmp_path / "c.txt").write_text("an untracked secret\n")
    done = search(versions_of(tmp_path), (), scan)
    assert sorted((each.path, each.shown) for each in done.found) == [
        ("a.txt", "an old secret…"),
        ("b.txt", "a staged secret…"),
    ]


def test_where_there_is_no_history_nothing_is_judged(tmp_path: Path) -> None:
    with pytest.raises(CannotCheckError, match="git"):
        list(versions_of(tmp_path))
