"""Every process that collects the tests finds the same ones: else they could not run side by side."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def collected(seed: int) -> list[str]:
    """The names of all tests, as a process with this order of sets finds them."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-cov", "-p", "no:xdist"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_the_tests_have_the_same_names_in_the_same_order_whenever_they_are_collected() -> None:
    begun = time.time()
    first = collected(1)
    assert len(first) > 4_000
    # It takes seconds, so that a time in a name, as gzip writes one, would be another one.
    assert time.time() - begun > 1
    assert collected(2) == first
