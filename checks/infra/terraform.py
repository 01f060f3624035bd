"""Terraform as the check runs it, and what its machine-readable output says.

`terraform test -json -verbose` prints one object a line; described at
https://developer.hashicorp.com/terraform/internals/machine-readable-ui and, for its states, at
https://developer.hashicorp.com/terraform/internals/json-format (their values).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from checks.commands import Done, run
from checks.report import NOT_RUN, CannotCheckError

FOLDER: Final = Path("infra/terraform")

_QUIET: Final = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
_LONGEST: Final = 1_800.0  # a cold provider on a machine that others use as well


@dataclass(frozen=True, slots=True)
class Tested:
    """What one `terraform test` did: runs as "file run", what applies left, and why runs failed."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    states: Mapping[str, Mapping[str, Any]]
    problems: tuple[str, ...]
    finished: bool
    """Whether Terraform came to its summary; without one nothing that it printed counts."""


def terraform(*arguments: str) -> Done:
    """Run Terraform in the stack's folder. Raises CannotCheckError where there is no provider."""
    command = ["sh", "scripts/terraform.sh", f"-chdir={FOLDER}", *arguments]
    done = run(command, environment=_QUIET, timeout=_LONGEST)
    if done.code == NOT_RUN:
        raise CannotCheckError(done.err.strip())
    return done


def run_tests(
    variable_files: Sequence[str], files: Sequence[str], *, states: bool = False
) -> Tested:
    """Run these test files with these variable files; paths are within the stack's folder.

    With `states` Terraform prints what each run planned or left: some fourteen megabytes a run.
    """
    given = [f"-var-file={name}" for name in variable_files]
    filters = [f"-filter={name}" for name in files]
    verbose = ["-verbose"] if states else []
    done = terraform("test", "-json", *verbose, *given, *filters)
    return read(done.out.splitlines())


def read(lines: Iterable[str]) -> Tested:
    """Read the lines of `terraform test -json -verbose`; a line that is no object is a problem."""
    ends: dict[str, list[str]] = {"pass": [], "fail": [], "error": [], "skip": []}
    states: dict[str, Mapping[str, Any]] = {}
    problems: list[str] = []
    finished = False
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            problems.append(line)
            continue
        name = f"{said.get('@testfile', '')} {said.get('@testrun', '')}"
        match said.get("type"):
            case "test_run" if said["test_run"].get("progress") == "complete":
                ends[said["test_run"]["status"]].append(name)
            case "test_state":
                states[name] = said["test_state"]
            case "diagnostic" if said["diagnostic"]["severity"] == "error":
                problems.append(f"{name}: {_told(said['diagnostic'])}")
            case "test_summary":
                finished = True
    return Tested(
        tuple(ends["pass"]),
        tuple(ends["fail"] + ends["error"]),
        tuple(ends["skip"]),
        states,
        tuple(problems),
        finished,
    )


def _told(diagnostic: Mapping[str, Any]) -> str:
    detail = str(diagnostic.get("detail", "")).strip().splitlines()
    place = diagnostic.get("range", {})
    where = f" ({place['filename']}:{place['start']['line']})" if place else ""
    return f"{diagnostic['summary']}: {detail[-1] if detail else ''}{where}"
