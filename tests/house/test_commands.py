"""What the documentation and the automation tell people to type exists."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from app.__main__ import COMMANDS
from benchmarks.mutation.modules import TESTS
from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

FENCE = re.compile(r"^```(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
SHELLS = {"", "sh", "bash", "shell", "console"}
INLINE = re.compile(r"`((?:make|mms|python|python3|uvicorn|pytest|\.ci/run)\b[^`\n]*)`")
RUN = re.compile(r"(?m)^\s*(?:- )?run: *(.*?)(?: #.*)?$")
JOINS = {"&&", "||", "|", "&"}
MMS_ITSELF = {"--help", "--version"}
ALLOWED = re.compile(r"\.ci/run|(?:exec )?make ([a-z-]+)")


def commands(text: str) -> list[str]:
    """The command lines in a document: lines of its shell blocks, and those quoted in a sentence."""
    lines: list[str] = []
    for block in FENCE.finditer(text):
        if block["kind"] in SHELLS:
            joined = block["text"].replace("\\\n", " ")
            lines += [line.removeprefix("$ ").strip() for line in joined.splitlines()]
    lines += INLINE.findall(FENCE.sub("", text))
    return [line for line in lines if line and not line.startswith("#")]


def targets() -> set[str]:
    """Everything that `make` may be asked for."""
    rules = re.findall(r"(?m)^([a-z][a-z_ -]*):(?!=)", (ROOT / "Makefile").read_text())
    return {name for rule in rules for name in rule.split()}


def unknown(command: str) -> list[str]:
    """What a command line names that does not exist."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # not a command but some program's answer, with a quotation mark in it
        return []
    missing = []
    for here, word in enumerate(words):
        rest = list(itertools.takewhile(lambda w: w not in JOINS, words[here + 1 :]))
        if word == "make":
            asked = (name for name in rest if "=" not in name and not name.startswith("-"))
            missing += [f"make {name}" for name in asked if name not in targets()]
        elif word in ("python", "python3") and rest[:1] == ["-m"] and rest[1].startswith("app"):
            missing += [] if _is_program(rest[1]) else [f"python -m {rest[1]}"]
        elif word == "mms" and rest and (here == 0 or words[here - 1] in JOINS):
            missing += [] if rest[0] in {*COMMANDS, *MMS_ITSELF} else [f"mms {rest[0]}"]
        elif word == "uvicorn" and rest and rest[0].startswith("app"):
            module, _, attribute = rest[0].partition(":")
            missing += [] if _has(module, attribute) else [rest[0]]
    return missing


def _is_program(module: str) -> bool:
    """Whether `python -m module` can start it: a module with a main part, or such a package."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return False
    if found is not None and found.submodule_search_locations:
        return _is_program(f"{module}.__main__")
    if found is None or found.origin is None:
        return False
    return module.endswith("__main__") or '__name__ == "__main__"' in Path(found.origin).read_text()


def _has(module: str, attribute: str) -> bool:
    found = importlib.util.find_spec(module) is not None
    return found and hasattr(importlib.import_module(module), attribute)


def make(*arguments: str) -> str:
    """What make prints."""
    if shutil.which("make") is None:
        absent("make", "GNU make is not installed")
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_in_the_documents_exists(document: Path) -> None:
    assert [name for line in commands(document.read_text()) for name in unknown(line)] == []


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    text = (
        '`make moon` and `make test`\n\n```sh\n$ make demo ARGS="--port 1" && curl -s localhost\n'
        "python -m app.workers.nobody \\\n  --pairs BRLBTC   # a comment\npython -m app.core\n"
        "python -m app.sandbox --help\nuvicorn app.main:nothing\nmms backup b | mms fly\n"
        "psql -U mms fly\n```\n```json\nmake nothing\n```\n"
    )
    missing = [name for line in commands(text) for name in unknown(line)]
    assert missing == [
        "python -m app.workers.nobody",
        "python -m app.core",
        "app.main:nothing",
        "mms fly",
        "make moon",
    ]


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
