"""`make audit`: the workflows and what is in the history, judged without a network.

zizmor looks for dangerous workflows (its strictest persona, offline). check-jsonschema compares the
files of workflows, Dependabot and Compose with their schemas. Every line that was ever committed is
searched for secrets; allowed.txt beside this file says which lines are none, and why.

With --packages the pinned packages are compared with the database of known vulnerabilities instead,
which needs a network.

Exit 0 when there is nothing to report, 1 when there is, 3 when something could not be judged here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from checks.audit.secrets import Allowed, detectors, read_allowed, search, versions_of
from checks.commands import CommandFailedError, run
from checks.report import NOT_RUN, CannotCheckError, Report

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
SCHEMAS = {
    ".github/workflows/*.yml": "vendor.github-workflows",
    ".github/dependabot.yml": "vendor.dependabot",
    "docker-compose.yml": "vendor.compose-spec",
}
LISTS = ("requirements.txt", "requirements/deploy.txt")
"""What runs in production, and what ships it; other lists are for short-lived machines."""


def main(argv: Sequence[str] | None = None) -> int:
    """Judge; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m checks.audit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--packages", action="store_true", help="known vulnerabilities of the pinned packages"
    )
    options = parser.parse_args(argv)
    report = Report("audit")
    try:
        if options.packages:
            for name in LISTS:
                _packages(report, name)
        else:
            _workflows(report)
            _schemas(report)
            _secrets(report)
    except (CannotCheckError, CommandFailedError) as error:
        sys.stderr.write(f"audit: cannot be made here: {error}\n")
        return NOT_RUN
    return report.finish()


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


def _packages(report: Report, name: str) -> None:
    command = [str(TOOLS / "pip-audit"), "--require-hashes", "--disable-pip", "--format=json"]
    done = run([*command, "--progress-spinner=off", "-r", name], folder=ROOT, timeout=300.0)
    try:
        packages = json.loads(done.out)["dependencies"]
    except (ValueError, KeyError) as error:
        last = done.err.strip().splitlines()[-1:]
        raise CannotCheckError(f"pip-audit could not ask: {' '.join(last)[-300:]}") from error
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    if skipped or not packages:
        raise CannotCheckError(
            f"{len(skipped)} of the {len(packages)} packages of {name} could not be looked up: "
            f"{', '.join(skipped[:5])}, …"
        )
    for each in packages:
        for flaw in each["vulns"]:
            mended = ", ".join(flaw["fix_versions"]) or "no version yet"
            report.note(f"{each['name']} {each['version']}: {flaw['id']}, mended in {mended}")
    bad = sum(bool(each["vulns"]) for each in packages)
    report.equal(f"{name}: of {len(packages)} packages, vulnerable", bad, 0)


if __name__ == "__main__":
    sys.exit(main())
