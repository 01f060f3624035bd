"""python -m checks.branches PATTERN,PATTERN: whether the last test run took every branch there.

Some branches are reached on PostgreSQL or through memcached alone. If one of them is missing, its
tests were skipped: then nothing is judged, and one line says so. What MMS_TEST_REQUIRE names, as CI
does, is there, or tests have failed: so CI always judges.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.support import memcached, postgres

OK: Final = 0
NOT_RUN_BY_A_TEST: Final = 1


def main(argv: Sequence[str]) -> int:
    """Judge the patterns, or say why not. Exit 1 where a branch was not run, else 0."""
    (patterns,) = argv
    programs = {"postgres": postgres.tools(), "memcached": memcached.program()}
    return judge(patterns, missing(programs, os.environ.get("MMS_TEST_REQUIRE", "").split(",")))


def missing(programs: Mapping[str, Path | None], required: Collection[str]) -> list[str]:
    """The programs that were neither found nor required."""
    return [name for name, where in programs.items() if where is None and name not in required]


def judge(patterns: str, absent: Sequence[str], project: Path | None = None) -> int:
    """Judge the patterns by coverage's data, unless a program is absent. Returns the exit code."""
    if absent:
        sys.stdout.write(
            "Not judged here: whether a test runs every branch of loading, validation, averages, gaps "
            f"and cache, because {' and '.join(absent)} cannot be found (make programs).\n"
        )
        return OK
    report = ["-m", "coverage", "report", "--fail-under=100", f"--include={patterns}"]
    done = subprocess.run([sys.executable, *report], cwd=project, check=False)  # noqa: S603
    if done.returncode == 0:
        return OK
    sys.stderr.write("Every branch of these is to be run by a test.\n")
    return NOT_RUN_BY_A_TEST


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
