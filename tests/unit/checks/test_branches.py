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


def test_every_branch_that_was_run_is_enough(project: Path) -> None:
    run(project, "sign(1), sign(-1)")
    assert judge("signs.py", [], project) == OK


def test_a_branch_that_was_not_run_is_a_failure(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(project, "sign(-1)")
    assert judge("signs.py", [], project) == NOT_RUN_BY_A_TEST
    out, err = capfd.readouterr()
    assert "signs.py" in out
    assert err == "Every branch of these is to be run by a test.\n"


def test_where_a_program_is_absent_one_line_says_why_nothing_is_judged(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(project, "sign(-1)")
    assert judge("signs.py", ["postgres", "memcached"], project) == OK
    out, err = capfd.readouterr()
    assert out.startswith("Not judged here: whether a test runs every branch")
    assert "because postgres and memcached cannot be found" in out
    assert (out.count("\n"), err) == (1, "")


@pytest.mark.parametrize(
    ("found", "required", "absent"),
    [
        ({"postgres": Path(), "memcached": Path()}, [], []),
        ({"postgres": None, "memcached": Path()}, [], ["postgres"]),
        ({"postgres": None, "memcached": None}, ["make"], ["postgres", "memcached"]),
        ({"postgres": None, "memcached": None}, ["memcached"], ["postgres"]),
        ({"postgres": None, "memcached": None}, ["postgres", "memcached"], []),
    ],
)
def test_what_was_required_is_there_or_tests_have_failed(
    found: dict[str, Path | None], required: list[str], absent: list[str]
) -> None:
    assert missing(found, required) == absent
