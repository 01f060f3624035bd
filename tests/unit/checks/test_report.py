"""The report of a check tells the truth by its exit code."""

from __future__ import annotations

import io

from checks.report import FAILED, PASSED, Report


def test_one_failure_is_exit_1_and_named_and_what_was_not_run_is_not_counted_as_passed() -> None:
    out = io.StringIO()
    made = Report("image-check", out, clock=lambda: 0.0)
    made.leave_out("grafana", "Debian has no package of it")
    assert made.check("uid", True, 10001)
    assert made.finish() == PASSED
    assert not made.equal("migrate", "exit 1", "exit 0")
    assert made.finish() == FAILED
    said = out.getvalue()
    assert "1 passed, 0 failed, 1 not run" in said
    assert "1 passed, 1 failed, 1 not run" in said
    assert said.endswith("failed: migrate\n")
