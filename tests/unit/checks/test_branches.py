"""Whether every branch is run by a test: when that is judged, and how."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checks.branches import NOT_RUN_BY_A_TEST, OK, judge, missing

MODULE = """
def sign(number):
    if number < 0:
        return "minus"
    return "plus"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one module with two branches."""
    (tmp_path / "signs.py").write_text(MODULE)
    return tmp_path


def run(project: Path, test: str) -> None:
    """Run a test of it under coverage."""
    (project / "test.py").write_text(f"from signs import sign\n{test}\n")
    command = [sys.executable, "-m", "coverage", "run", "--branch", "test.py"]
    # A run of ours may be measured itself, children included.
    own = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    subprocess.run(command, cwd=project, env=own, check=True)


def test_every_branch_is_to_be_run_where_everything_is_installed(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(project, "sign(-1)")
    assert judge("signs.py", [], project) == NOT_RUN_BY_A_TEST
    assert "signs.py" in capfd.readouterr().out
    # One line says why nothing is judged.
    assert judge("signs.py", ["postgres", "memcached"], project) == OK
    out = capfd.readouterr().out
    assert "postgres and memcached" in out
    assert out.count("\n") == 1
    run(project, "sign(1), sign(-1)")
    assert judge("signs.py", [], project) == OK


@pytest.mark.parametrize(
    ("found", "required", "absent"),
    [
        ({"postgres": None, "memcached": Path()}, [], ["postgres"]),
        ({"postgres": None, "memcached": None}, ["memcached"], ["postgres"]),
        ({"postgres": None, "memcached": None}, ["postgres", "memcached"], []),
    ],
)
def test_what_was_required_is_there_or_tests_have_failed(
    found: dict[str, Path | None], required: list[str], absent: list[str]
) -> None:
    assert missing(found, required) == absent
