"""What the automation runs exists, and says what it does."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from benchmarks.mutation.modules import TESTS
from tests.support.documents import targets
from tests.support.tree import make

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

RUN = re.compile(r"(?m)^\s*(?:- )?run: *(.*?)(?: #.*)?$")
ALLOWED = re.compile(r"\.ci/run|(?:exec )?make ([a-z-]+)(?: ARGS=[a-z]+)?")


def test_every_target_says_what_it_does() -> None:
    described = set(re.findall(r"(?m)^  make (\S+) +\S", make("help")))
    aliases = {"test", "test_local"}
    steps = {name for name in targets() if name.startswith("ready-")}
    assert described == targets() - aliases - steps


def test_what_is_held_to_every_branch_and_what_is_mutated_is_there() -> None:
    """It is judged after a run of all tests; a run of some would judge by too little."""
    judged = re.findall(r"-m checks\.branches '([^']+)'", make("--dry-run", "check"))
    patterns = judged[0].split(",")
    assert [pattern for pattern in patterns if not list(ROOT.glob(pattern))] == []
    assert "checks.branches" not in make("--dry-run", "check", "ARGS=tests/house")
    named = {test for tests in TESTS.values() for test in tests}
    assert [path for path in sorted({*TESTS} | named) if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_only_what_anyone_can_run_at_home(workflow: Path) -> None:
    """`make audit` judges what is dangerous in it: rights, versions, credentials."""
    steps = [ALLOWED.fullmatch(step) for step in RUN.findall(workflow.read_text())]
    assert steps
    assert None not in steps
    assert {step[1] for step in steps if step and step[1]} <= targets()
    assert "secrets." not in workflow.read_text()


def test_every_check_that_is_documented_runs_in_a_workflow() -> None:
    """A check that runs nowhere by itself is soon one that cannot run."""
    steps = {step for workflow in WORKFLOWS for step in RUN.findall(workflow.read_text())}
    checks = {
        name for name in targets() if name.endswith(("-check", "-rehearse")) or "audit" in name
    }
    assert {f"make {name}" for name in checks - {"ready-audit"}} <= steps
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_checks_of_one_deployment_never_push_out_those_of_another() -> None:
    """A called workflow has its caller's name and branch, whatever environment is deployed to."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (group,) = re.findall(r"(?m)^  group: (.*)$", text)
    assert group.endswith("github.event_name == 'pull_request' && github.ref || github.run_id }}")
    assert "github.workflow" not in group
