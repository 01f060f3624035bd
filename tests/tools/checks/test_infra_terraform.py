"""What Terraform and checkov print is counted: what did not run never counts as passed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checks.infra import checkov
from checks.infra.terraform import read
from checks.report import CannotCheckError


def line(kind: str, run: str = "", **said: Any) -> str:
    return json.dumps({"type": kind, "@testfile": "t.hcl", "@testrun": run, **said})


def ended(run: str, status: str) -> str:
    return line("test_run", run, test_run={"progress": "complete", "status": status})


def test_runs_are_told_apart_by_how_they_ended() -> None:
    diagnostic = {
        "severity": "error",
        "summary": "Test assertion failed",
        "detail": "a == 1\n\nIt is not.",
        "range": {"filename": "t.hcl", "start": {"line": 7}},
    }
    found = read(
        [
            line("test_run", "a", test_run={"progress": "starting"}),
            ended("a", "pass"),
            line("test_plan", "a", test_plan={"resource_changes": []}),
            line("test_state", "a", test_state={"root_module": {}}),
            ended("b", "fail"),
            line("diagnostic", "b", diagnostic=diagnostic),
            line("diagnostic", "b", diagnostic={"severity": "warning", "summary": "old"}),
            ended("c", "error"),
            ended("d", "skip"),
            line("test_summary", test_summary={"status": "fail"}),
        ]
    )
    assert (found.passed, found.failed, found.skipped) == (
        ("t.hcl a",),
        ("t.hcl b", "t.hcl c"),
        ("t.hcl d",),
    )
    assert dict(found.states) == {"t.hcl a": {"root_module": {}}}
    assert found.problems == ("t.hcl b: Test assertion failed: It is not. (t.hcl:7)",)
    assert found.finished


def test_output_without_a_summary_is_unfinished_and_what_is_no_json_is_a_problem() -> None:
    found = read([ended("a", "pass"), "panic: out of memory"])
    assert not found.finished
    assert found.problems == ("panic: out of memory",)


def printed(failed: list[str], skipped: dict[str, str], **summary: int) -> dict[str, Any]:
    """What checkov prints, as JSON."""
    counts = {"passed": 7, "failed": len(failed), "skipped": len(skipped), "parsing_errors": 0}
    return {
        "summary": {**counts, "resource_count": 9, **summary},
        "results": {
            "failed_checks": [{"check_id": name, "resource": "r"} for name in failed],
            "skipped_checks": [
                {"check_id": name, "resource": "r", "check_result": {"suppress_comment": why}}
                for name, why in skipped.items()
            ],
            "parsing_errors": ["broken.tf"],
        },
    }


def test_a_failed_check_is_a_finding_and_one_that_is_argued_is_skipped() -> None:
    why = "It is meant so, and this is why."
    found = checkov.read(
        printed(["CKV_AWS_1", "CKV_AWS_2"], {"CKV_AWS_3": why}), {"CKV_AWS_2": why}
    )
    assert (found.passed, found.failed, found.skipped) == (7, 1, 2)
    assert (found.findings, found.unargued) == (("CKV_AWS_1 r",), ())
    # An exemption without a reason, and one without a finding.
    found = checkov.read(
        printed([], {"CKV_AWS_3": "later"}), {"CKV_AWS_4": "It is meant so, truly."}
    )
    assert found.unargued == ("CKV_AWS_3 r", "CKV_AWS_4, which does not fail")


def test_a_scan_of_nothing_or_of_files_that_it_cannot_read_is_no_scan() -> None:
    with pytest.raises(CannotCheckError, match="no resources"):
        checkov.read(printed([], {}, resource_count=0), {})
    with pytest.raises(CannotCheckError, match=r"broken\.tf"):
        checkov.read(printed([], {}, parsing_errors=1), {})
