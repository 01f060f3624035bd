"""checkov's opinion of the stack, in an environment of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from checks.commands import run
from checks.infra.terraform import FOLDER
from checks.report import CannotCheckError

_CHECKOV: Final = Path(".tools/checkov/bin/checkov")
_LONGEST: Final = 900.0
_SHORTEST_REASON: Final = 5  # words


@dataclass(frozen=True, slots=True)
class Scan:
    """The counts of one scan; `findings` are the failed checks, as "check resource"."""

    passed: int
    failed: int
    skipped: int
    findings: tuple[str, ...]
    unargued: tuple[str, ...]
    """Skipped checks without a reason, and reasons for nothing."""


def scan(environment: str, operator: str) -> Scan:
    """Scan the stack as these two variable files make it; the first may argue exemptions.

    Raises CannotCheckError where checkov is not there, or could not read every file.
    """
    if not _CHECKOV.exists():
        raise CannotCheckError("checkov is not installed: sh scripts/tools.sh checkov")
    files = [
        part for name in (environment, operator) for part in ("--var-file", str(FOLDER / name))
    ]
    command = [str(_CHECKOV), "-d", str(FOLDER), "--framework", "terraform", *files]
    done = run([*command, "--skip-download", "--compact", "-o", "json"], timeout=_LONGEST)
    try:
        printed = json.loads(done.out)
    except ValueError:
        raise CannotCheckError(f"checkov ended with {done.code}: {done.text[-600:]}") from None
    return read(printed, argued((FOLDER / environment).read_text(encoding="utf-8")))


def argued(text: str) -> dict[str, str]:
    """One environment's exemptions: lines `# checkov CKV_AWS_1: reason` of its variable file.

    A `#checkov:skip` beside the resource would hold for every environment.
    """
    return dict(re.findall(r"(?m)^# checkov (CKV2?_[A-Z]+_\d+): (.+)$", text))


def read(printed: Mapping[str, Any], exempt: Mapping[str, str]) -> Scan:
    """The counts in checkov's JSON. Raises CannotCheckError where it read nothing.

    What `exempt` names counts as skipped; an exemption of a check that does not fail is unargued.
    """
    summary = printed.get("summary", printed)
    if not summary.get("resource_count"):
        raise CannotCheckError("checkov found no resources")
    if summary["parsing_errors"]:
        broken = printed["results"].get("parsing_errors", [])
        raise CannotCheckError(f"checkov could not read {', '.join(broken)}")
    results = printed["results"]
    failed = [each for each in results["failed_checks"] if each["check_id"] not in exempt]
    reasons = [
        (_name(each), str(each["check_result"].get("suppress_comment", "")))
        for each in results.get("skipped_checks", [])
    ]
    reasons += [
        (_name(each), exempt[each["check_id"]])
        for each in results["failed_checks"]
        if each["check_id"] in exempt
    ]
    idle = set(exempt) - {each["check_id"] for each in results["failed_checks"]}
    return Scan(
        passed=summary["passed"],
        failed=len(failed),
        skipped=len(reasons),
        findings=tuple(map(_name, failed)),
        unargued=(
            *(name for name, reason in reasons if len(reason.split()) < _SHORTEST_REASON),
            *(f"{check}, which does not fail" for check in sorted(idle)),
        ),
    )


def _name(finding: Mapping[str, Any]) -> str:
    return f"{finding['check_id']} {finding['resource']}"
