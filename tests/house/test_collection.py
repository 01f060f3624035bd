"""Every process that collects the tests finds the same ones: else they could not run side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def collected(seed: int) -> set[str]:
    """The names of all tests, as a process with this order of sets finds them."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-cov", "-p", "no:xdist"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return {line for line in done.stdout.splitlines() if "::" in line}


def test_the_tests_have_the_same_names_in_every_process_at_any_time(
    request: pytest.FixtureRequest,
) -> None:
    # Here they were collected at another second, which gzip would write into a name, and with sets in
    # another order.
    here = {item.nodeid for item in request.session.items}
    there = collected(1)
    assert len(there) > 1_000
    assert sorted(here - there) == []
