"""Plant single faults in the pure modules and run their tests: a fault that passes is one they miss.

A copy of the project is changed, never the project itself. MODULES names each module with the tests that
are to notice, and how many faults they missed when that was last measured: some of those make no difference
(a limit that nothing reaches), others are tests yet to be written. More than that is exit 1, and so are
tests that fail without a fault.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.mutation.mutants import Mutant, mutants

ROOT: Final = Path(__file__).resolve().parents[2]
_PATIENCE: Final = 120.0
"""Seconds for the tests of one module; a fault that makes them hang is noticed."""


@dataclass(frozen=True)
class Judged:
    """A module, the tests that judge it, and how many faults they may miss."""

    tests: tuple[str, ...]
    may_miss: int


_UNIT: Final = "tests/unit/utils/"
MODULES: Final = {
    "app/utils/fixed_point.py": Judged(
        (f"{_UNIT}test_price_scale.py", f"{_UNIT}test_published_averages.py", f"{_UNIT}test_candles.py",
         f"{_UNIT}test_rendering.py", "tests/unit/sources/test_coingecko.py"), 9
    ),
    "app/utils/moving_average.py": Judged(
        (f"{_UNIT}test_moving_average.py", f"{_UNIT}test_published_averages.py"), 9
    ),
    "app/utils/gaps.py": Judged((f"{_UNIT}test_gaps.py",), 9),
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Plant and judge; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("module", nargs="*", choices=[*MODULES, []], help="all by default")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth fault only")
    options = parser.parse_args(argv)
    good = True
    with tempfile.TemporaryDirectory(prefix="mms-mutation-") as name:
        folder = Path(name)
        for part in ("app", "tests", "pyproject.toml"):
            source = ROOT / part
            ignored = shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=ignored)
            else:
                shutil.copy(source, folder / part)
        for module in options.module or MODULES:
            good &= _judge(folder, module, max(1, options.every))
    return 0 if good else 1


def _judge(folder: Path, module: str, every: int) -> bool:
    judged = MODULES[module]
    file = folder / module
    source = file.read_text(encoding="utf-8")
    began = time.monotonic()
    if not _passes(folder, judged):
        print(f"{module}: its tests fail without a fault")
        return False
    planted = list(mutants(source))[::every]
    missed: list[Mutant] = []
    try:
        for mutant in planted:
            file.write_text(mutant.text, encoding="utf-8")
            if _passes(folder, judged):
                missed.append(mutant)
    finally:
        file.write_text(source, encoding="utf-8")
    noticed = len(planted) - len(missed)
    took = time.monotonic() - began
    print(f"{module:<32}{noticed:>5} of {len(planted)} faults noticed, in {took:.0f} s")
    for mutant in missed:
        print(f"  {module}:{mutant.line}: {mutant.what}")
    return len(missed) <= judged.may_miss


def _passes(folder: Path, judged: Judged) -> bool:
    """Whether the tests find nothing wrong; one that hangs has found something."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *judged.tests]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONDONTWRITEBYTECODE": "1",
                "HYPOTHESIS_STORAGE_DIRECTORY": "hypothesis",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
