"""`make infra-check`: validate, plan, test and scan infra/terraform; nothing is created.

Needs Terraform 1.11 or newer, its AWS provider (scripts/terraform.sh says from where) and checkov,
which is installed into .tools/checkov. No account and no key: the provider is mocked.

Exit 0 when everything holds, 1 when something does not, 3 when it cannot be tried here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from checks.commands import CommandFailedError
from checks.infra import checkov, rules
from checks.infra.terraform import FOLDER, Tested, run_tests, terraform
from checks.report import FAILED, NOT_RUN, CannotCheckError, Report

# With what an operator would add: a certificate, GitHub's roles, a secret setting.
_OPERATOR: Final = "tests/operator.tfvars"
_ENVIRONMENTS: Final = ("dev", "prod")
_REFUSED: Final = "tests/refused.tftest.hcl"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m checks.infra",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(argv)
    report = Report("infra-check")
    try:
        _read(report)
        report.section("Values that must be refused")
        _told(report, "each is refused", run_tests([], [_REFUSED]))
        for name in _ENVIRONMENTS:
            _environment(report, name)
        _scan(report)
    except CannotCheckError as error:
        sys.stderr.write(f"infra-check: cannot be made here: {error}\n")
        return NOT_RUN
    except CommandFailedError as error:
        report.check("the check itself", False, error)
        return FAILED
    return report.finish()


def _read(report: Report) -> None:
    """Format, provider, validity."""
    report.section("The files")
    formatted = terraform("fmt", "-check", "-recursive")
    report.check(
        "formatted", formatted.code == 0, formatted.out.strip() or "as terraform fmt writes it"
    )
    version = terraform("version").out.splitlines()
    init = terraform("init", "-backend=false", "-lockfile=readonly", "-no-color")
    if init.code:
        raise CommandFailedError(f"terraform init ended with {init.code}:\n{init.text.strip()}")
    valid = terraform("validate", "-no-color")
    report.check("valid", valid.code == 0, (valid.out if valid.code == 0 else valid.text).strip())
    report.note(f"{version[0] if version else 'terraform'}, the provider as the lock file has it")


def _environment(report: Report, name: str) -> None:
    """Everything that is asserted of one environment."""
    report.section(f"{name}.tfvars")
    own = f"tests/{name}.tftest.hcl"
    others = {_REFUSED, *(f"tests/{each}.tftest.hcl" for each in _ENVIRONMENTS if each != name)}
    files = sorted(f"tests/{file.name}" for file in (FOLDER / "tests").glob("*.tftest.hcl"))
    given = [f"{name}.tfvars", _OPERATOR]
    planned = run_tests(given, [own], states=True)
    tested = run_tests(given, [file for file in files if file not in {own, *others}])
    _told(report, f"{name}: it plans and applies", planned)
    _told(report, f"{name}: it holds", tested)
    _rules(report, planned.states.get(f"{own} {name}_applies"))


def _rules(report: Report, state: Mapping[str, Any] | None) -> None:
    """Hold the rules over every resource, and see that each would notice its fault there."""
    resources = [] if state is None else rules.managed(state)
    if report.check("state", bool(resources), f"{len(resources)} resources applied"):
        for name, rule in rules.RULES.items():
            addresses = rule(resources)
            report.check(name, not addresses, ", ".join(addresses) or "of all resources")
        blind = [why for rule in rules.RULES.values() if (why := rules.blind(rule, resources))]
        figure = "; ".join(blind) or f"{len(rules.RULES)} planted faults, each noticed"
        report.check("the rules can see", not blind, figure)


def _told(report: Report, name: str, tested: Tested) -> None:
    bad = [*tested.failed, *tested.skipped, *tested.problems]
    good = tested.finished and bool(tested.passed) and not bad
    counts = (
        f"{len(tested.passed)} passed, {len(tested.failed)} failed, {len(tested.skipped)} not run"
    )
    report.check(name, good, f"runs: {counts}")
    for problem in tested.problems:
        report.note(problem)


def _scan(report: Report) -> None:
    for name in _ENVIRONMENTS:
        report.section(f"checkov, {name}.tfvars")
        scan = checkov.scan(f"{name}.tfvars", _OPERATOR)
        counts = f"{scan.passed} passed, {scan.failed} failed, {scan.skipped} skipped"
        report.check("checkov", not scan.failed, counts)
        report.check(
            "every exemption is argued", not scan.unargued, ", ".join(scan.unargued) or "all are"
        )
        for finding in scan.findings:
            report.note(finding)


if __name__ == "__main__":
    sys.exit(main())
