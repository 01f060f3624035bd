"""The report of a check tells the truth by its exit code."""

from __future__ import annotations

import io

from checks.report import FAILED, PASSED, Report


def report() -> tuple[Report, io.StringIO]:
    out = io.StringIO()
    return Report("image-check", out, clock=lambda: 0.0), out


def test_everything_good_is_exit_0() -> None:
    made, out = report()
    assert made.check("uid", True, 10001)
    assert made.equal("exit", 2, 2)
    assert made.finish() == PASSED
    assert "2 passed, 0 failed, in 0 s" in out.getvalue()


def test_one_failure_is_exit_1_and_is_named_at_the_end() -> None:
    made, out = report()
    made.check("uid", True, 10001)
    assert not made.equal("migrate", "exit 1", "exit 0")
    assert made.finish() == FAILED
    assert "FAILED  migrate" in out.getvalue()
    assert "exit 1, and should be exit 0" in out.getvalue()
    assert out.getvalue().endswith("failed: migrate\n")


def test_what_was_not_run_is_never_counted_as_passed() -> None:
    made, out = report()
    made.leave_out("grafana", "Debian has no package of it")
    made.finish()
    assert "0 passed, 0 failed, 1 not run" in out.getvalue()
    assert "NOT RUN grafana" in out.getvalue()
