"""The modules whose every branch is tested: the list is true, and it is judged."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.mutation.modules import TESTS
from checks.branches import missing
from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[2]


def judged(*arguments: str) -> list[str]:
    """The patterns that `make check` holds to 100 %, empty where it does not judge."""
    if shutil.which("make") is None:
        absent("make", "GNU make is not installed")
    command = ["make", "--dry-run", "--no-print-directory", "check", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = re.search(r"-m checks\.branches '([^']+)'$", done.stdout, re.MULTILINE)
    return found[1].split(",") if found else []


def test_each_module_that_is_held_to_every_branch_exists() -> None:
    patterns = judged()
    assert len(patterns) > 20
    assert [pattern for pattern in patterns if not list(ROOT.glob(pattern))] == []


@pytest.mark.parametrize("arguments", ["tests/house", '-k "a name"', "-x"])
def test_a_run_of_some_tests_is_not_judged(arguments: str) -> None:
    assert judged(f"ARGS={arguments}") == []


def test_continuous_integration_requires_what_the_judgement_takes() -> None:
    (required,) = re.findall(r"(?m)^required=(\S+)$", (ROOT / ".ci" / "run").read_text())
    assert missing(dict.fromkeys(["postgres", "memcached"]), required.split(",")) == []


def test_what_is_mutated_is_held_to_every_branch_and_has_its_tests() -> None:
    held = {str(path.relative_to(ROOT)) for pattern in judged() for path in ROOT.glob(pattern)}
    assert set(TESTS) <= held
    named = {test for tests in TESTS.values() for test in tests}
    assert [test for test in sorted(named) if not (ROOT / test).is_file()] == []
    # Beside them are only what stores the data, and the monitor that puts the parts together.
    beside = {path for path in held - set(TESTS) if not path.endswith("__init__.py")}
    assert {str(Path(path).parent) for path in beside} == {"app/db", "app/monitoring"}
