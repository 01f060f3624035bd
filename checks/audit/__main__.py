"""`make audit`: the workflows, what is in the history, and the pinned packages.

zizmor looks for dangerous workflows (its strictest persona, offline). check-jsonschema compares the
files of workflows, Dependabot and Compose with their schemas. Every line that was ever committed is
searched for secrets; allowed.txt beside this file says which lines are none, and why.

Every pinned package is compared with PyPI's known vulnerabilities (pip-audit), which needs a
network. A package that PyPI does not know is not audited, and that is a failure.

Exit 0 when there is nothing to report, 1 when there is, 3 when something could not be judged here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from checks.audit import packages
from checks.audit.secrets import Allowed, detectors, read_allowed, search, versions_of
from checks.commands import CommandFailedError, run
from checks.report import NOT_RUN, PASSED, CannotCheckError, Report

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
SCHEMAS = {
    ".github/workflows/*.yml": "vendor.github-workflows",
    ".github/dependabot.yml": "vendor.dependabot",
    "docker-compose.yml": "vendor.compose-spec",
}


def _workflows(report: Report) -> None:
    # Exit codes from 11 on are findings, by severity; any other but 0 is an error of zizmor.
    command = [TOOLS / "zizmor", "--offline", "--persona=auditor", "--format=json", ".github"]
    done = run([str(word) for word in command], folder=ROOT)
    try:
        findings = json.loads(done.out)
    except ValueError as error:
        raise CannotCheckError(f"zizmor did not work: {done.err.strip()[-500:]}") from error
    for each in findings:
        where = each["locations"][0]["symbolic"]["key"]
        report.note(f"{each['ident']}: {each['desc']}: {json.dumps(where)}")
    if findings == [] and done.code != 0:
        raise CannotCheckError(f"zizmor ended with {done.code}: {done.err.strip()[-500:]}")
    count = len(list((ROOT / ".github" / "workflows").glob("*.yml")))
    report.equal(f"zizmor: findings in {count} workflows", len(findings), 0)


def _schemas(report: Report) -> None:
    for pattern, schema in SCHEMAS.items():
        for file in sorted(ROOT.glob(pattern)):
            command = [str(TOOLS / "check-jsonschema"), "--builtin-schema", schema, str(file)]
            done = run(command, folder=ROOT)
            name = str(file.relative_to(ROOT))
            if not report.check(name, done.code == 0, schema):
                report.note(done.text.strip())


def _secrets(report: Report) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        raise CannotCheckError("this copy of the project has no history to look into")
    exemptions = Path(__file__).parent / "allowed.txt"
    rules = read_allowed(exemptions)
    # What looks like a secret in that file is what it is about; people read it line by line.
    itself = str(exemptions.relative_to(ROOT))
    with detectors() as scan:
        versions = ((path, text) for path, text in versions_of(ROOT) if path != itself)
        searched = search(versions, rules, scan)
    for each in searched.found:
        report.note(f"{each.path}: {each.kind}: {each.shown}")
    report.equal(
        f"secrets in {searched.blobs} versions of files, {searched.lines} lines",
        len(searched.found),
        0,
    )
    _unused(report, rules, searched.used)


def _unused(report: Report, rules: Sequence[Allowed], used: set[Allowed]) -> None:
    """An exemption that exempts nothing any more would hide the next secret that looks like it."""
    idle = [rule.pattern.pattern for rule in rules if rule not in used]
    report.equal(f"exemptions without use, of {len(rules)}", idle, [])


def _packages(report: Report) -> None:
    packages.judge(report, packages.pins(ROOT), packages.ask_pip_audit)


Part = Callable[[Report], None]
"""Judges one part. Raises CannotCheckError or CommandFailedError where it cannot."""

PARTS: Final[Mapping[str, Part]] = {
    "workflows": _workflows,
    "schemas": _schemas,
    "secrets": _secrets,
    "packages": _packages,
}


def main(argv: Sequence[str] | None = None, parts: Mapping[str, Part] = PARTS) -> int:
    """Judge all parts; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m checks.audit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--allow-not-run",
        action="store_true",
        help="end with 0 in place of 3; what could not be judged is named all the same",
    )
    options = parser.parse_args(argv)
    report = Report("audit")
    for name, judge in parts.items():
        try:
            judge(report)
        except (CannotCheckError, CommandFailedError) as error:
            report.leave_out(name, str(error))
    code = report.finish()
    return NOT_RUN if code == PASSED and report.left_out and not options.allow_not_run else code


if __name__ == "__main__":
    sys.exit(main())
