"""What the documentation and the automation tell people to type exists."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

FENCE = re.compile(r"^```(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
SHELLS = {"", "sh", "bash", "shell", "console"}
INLINE = re.compile(r"`((?:make|python|python3|uvicorn|pytest|\.ci/run)\b[^`\n]*)`")


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
        rest = list(
            itertools.takewhile(lambda w: w not in ("&&", "||", "|", "&"), words[here + 1 :])
        )
        if word == "make":
            asked = (name for name in rest if "=" not in name and not name.startswith("-"))
            missing += [f"make {name}" for name in asked if name not in targets()]
        elif word in ("python", "python3") and rest[:1] == ["-m"] and rest[1].startswith("app"):
            missing += [] if _is_program(rest[1]) else [f"python -m {rest[1]}"]
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


def test_every_command_in_the_readme_exists() -> None:
    found = commands(README.read_text())
    assert any(line.startswith("make ") for line in found)
    assert [name for line in found for name in unknown(line)] == []


@pytest.mark.parametrize("document", sorted((ROOT / "docs").rglob("*.md")), ids=lambda p: p.name)
def test_every_command_in_the_documents_exists(document: Path) -> None:
    assert [name for line in commands(document.read_text()) for name in unknown(line)] == []


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    text = (
        '`make moon` and `make test`\n\n```sh\n$ make demo ARGS="--port 1" && curl -s localhost\n'
        "python -m app.workers.nobody \\\n  --pairs BRLBTC   # a comment\npython -m app.core\n"
        "python -m app.sandbox --help\nuvicorn app.main:nothing\n```\n```json\nmake nothing\n```\n"
    )
    missing = [name for line in commands(text) for name in unknown(line)]
    assert missing == [
        "python -m app.workers.nobody",
        "python -m app.core",
        "app.main:nothing",
        "make moon",
    ]


def test_every_target_says_what_it_does() -> None:
    if shutil.which("make") is None:
        absent("make", "GNU make is not installed")
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    described = set(re.findall(r"(?m)^  make (\S+) +\S", shown.stdout))
    aliases = {"test", "test_local"}
    steps = {name for name in targets() if name.startswith("ready-")}
    assert described == targets() - aliases - steps


def test_the_continuous_integration_can_be_started() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_only_what_anyone_can_run_at_home(workflow: Path) -> None:
    text = workflow.read_text()
    steps = re.findall(r"(?m)^\s*(?:- )?run: *(.*?)(?: #.*)?$", text)
    assert steps
    allowed = re.compile(r"\.ci/run|(?:exec )?make ([a-z-]+)")
    assert [step for step in steps if not allowed.fullmatch(step)] == []
    named = {found[1] for step in steps if (found := allowed.fullmatch(step)) and found[1]}
    assert named
    assert named - targets() == set()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_pins_what_it_uses_by_content(workflow: Path) -> None:
    """A tag can be moved to other code; a commit cannot, and our own workflows are of the same one."""
    used = re.findall(r"(?m)^\s*(?:- )?uses: *(.*)$", workflow.read_text())
    others = [line for line in used if not line.startswith("$/.github/workflows/")]
    assert [line for line in others if not re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", line)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_begins_without_rights_and_every_job_ends_by_itself(workflow: Path) -> None:
    text = workflow.read_text()
    assert re.search(r"(?m)^permissions: \{\}$", text)
    assert re.search(r"(?m)^concurrency:$", text)
    jobs = re.split(r"(?m)^  (?=[a-z]+:$)", text.split("\njobs:\n")[1])[1:]
    for job in jobs:
        assert re.search(r"(?m)^    permissions:$", job)
        assert "timeout-minutes:" in job or "uses: $/" in job
        assert job.count("actions/checkout@") == job.count("persist-credentials: false")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_no_key_is_stored_for_a_workflow(workflow: Path) -> None:
    assert "secrets." not in workflow.read_text()
    assert re.findall(r"write-all|: write(?! #)", workflow.read_text()) == []


INTERRUPTED = """
import pathlib, signal, sys, time
said = pathlib.Path(sys.argv[1])

def leave(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(0.5)
    said.write_text(f"{signal.Signals(number).name}, and taken back")
    sys.exit(3)

signal.signal(signal.SIGINT, leave)
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_deployment_that_is_cancelled_hears_of_it_and_is_waited_for(tmp_path: Path) -> None:
    """GitHub signals the step's first process: SIGINT, SIGTERM 7.5 s later, and kills all 2.5 s after that."""
    for program in ("make", "bash"):
        if shutil.which(program) is None:
            absent(program, f"{program} is not installed")
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    (line,) = re.findall(r"run: (.*make deploy)\b", text)
    step, said, python = tmp_path / "step.sh", tmp_path / "said", tmp_path / "python"
    step.write_text(f"{line}\n")
    # The first is identity, as it is; what it runs stands in for the deployment.
    python.write_text(
        f'#!/bin/sh\n[ $2 = infra.deploy ] || exec {shlex.quote(sys.executable)} "$@"\n'
        f"exec {shlex.quote(sys.executable)} -c {shlex.quote(INTERRUPTED)} {shlex.quote(str(said))}\n"
    )
    python.chmod(0o755)
    flags = f"-s -o ready-ship DEPLOY={python}"
    with subprocess.Popen(
        ["bash", "-e", str(step)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "MAKEFLAGS": flags},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        finally:
            process.kill()
    assert said.read_text() == "SIGTERM, and taken back"


def test_every_check_that_is_documented_runs_in_a_workflow() -> None:
    """A check that runs nowhere by itself is soon one that cannot run."""
    run = {
        name
        for workflow in WORKFLOWS
        for name in re.findall(r"run: (?:exec )?make ([a-z-]+)", workflow.read_text())
    }
    checks = {
        name for name in targets() if name.endswith(("-check", "-rehearse")) or "audit" in name
    }
    assert checks - {"ready-audit"} <= run


def test_the_checks_of_one_deployment_never_push_out_those_of_another() -> None:
    """A called workflow has its caller's name and branch, whatever environment is deployed to."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (group,) = re.findall(r"(?m)^  group: (.*)$", text)
    assert group.endswith("github.event_name == 'pull_request' && github.ref || github.run_id }}")
    assert "github.workflow" not in group


def test_the_same_actions_have_the_same_versions_everywhere() -> None:
    used = {
        line
        for workflow in WORKFLOWS
        for line in re.findall(r"(?m)uses: *([^$\s]\S* # \S+)$", workflow.read_text())
    }
    assert len(used) == len({line.partition("@")[0] for line in used}) == 3
