"""python -m benchmarks.mutation: which share of small mistakes the tests notice.

mutmut makes the mistakes (a < for a <=, a None for an argument, …) in a copy of the project, one at
a time, and runs the unit and contract tests of that module. Printed per module: the mutants, those
that the tests killed (by a failure, or by not ending), and those that survived, each as a diff.
Code that mutmut does not change (outside of functions, or under a decorator) is not in the numbers.

The exit code is 0 where everything was measured, 2 where it could not be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.mutation.modules import ONLY, TESTS

_ROOT: Final = Path(__file__).resolve().parents[2]
_COPIED: Final = ("app", "tests", "benchmarks", "pyproject.toml")
_HEAD: Final = ("module", "mutants", "killed", "survived", "score", "minutes")

_ALIVE: Final = {"survived", "no tests"}
_UNKNOWN: Final = {"not checked", "skipped"}

# A mutant may run forever. Its limit is so many times the seconds of its tests, and some more.
_PATIENCE: Final = 4
_MORE_SECONDS: Final = 3


class NotMeasured(Exception):
    """The score of a module could not be found out; the message says why."""


@dataclass(frozen=True)
class Score:
    """What became of the mutants of one module; `survivors` are their names."""

    module: str
    mutants: int
    survivors: tuple[str, ...]
    differences: tuple[str, ...]
    seconds: float

    @property
    def killed(self) -> int:
        """How many the tests noticed."""
        return self.mutants - len(self.survivors)

    def row(self) -> tuple[str, ...]:
        """The score as the cells of a table."""
        return _row(self.module, self.mutants, self.killed, self.seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the modules that are asked for and print what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "modules",
        nargs="*",
        metavar="MODULE",
        help="only modules whose path contains this, such as domain/gaps (default: all)",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time (default: cores)"
    )
    options = parser.parse_args(argv)
    chosen = [m for m in TESTS if not options.modules or any(t in m for t in options.modules)]
    if not chosen:
        parser.error(f"no module contains {' or '.join(options.modules)}: use {', '.join(TESTS)}")
    scores = []
    try:
        for score in measured({module: TESTS[module] for module in chosen}, options.jobs):
            scores.append(score)
            sys.stderr.write(f"{'  '.join(score.row())}\n")
            for name, difference in zip(score.survivors, score.differences, strict=True):
                print(f"\n{name}\n{difference}")
    except NotMeasured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    print()
    show(scores)
    return 0


def measured(tests: Mapping[str, Sequence[str]], jobs: int) -> Iterator[Score]:
    """The scores of these modules by these tests, one after the other. Raises NotMeasured."""
    program = Path(sys.executable).with_name("mutmut")
    if not program.exists():
        raise NotMeasured("mutmut is not installed beside this Python: run `make mutation`")
    for module, noticing in tests.items():
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            yield _measured(program, Path(folder), module, noticing, jobs)


def _measured(program: Path, folder: Path, module: str, tests: Sequence[str], jobs: int) -> Score:
    begun = time.monotonic()
    for name in _COPIED:
        if (_ROOT / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(_ROOT / name, folder / name, ignore=skipped)
        else:
            shutil.copy(_ROOT / name, folder / name)
    (folder / "setup.cfg").write_text(configuration(module, tests))
    # Coverage of this process must not count the copy as the project. Tests that skip because a
    # program is missing would let every mutant survive.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment |= {"MMS_TEST_REQUIRE": "memcached", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [program, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotMeasured(f"mutmut {arguments[0]} failed on {module}:\n{done.stdout[-4000:]}")
        return done.stdout

    run("run", "--max-children", str(jobs))
    status = outcomes(run("results", "--all", "true"))
    unknown = [name for name, outcome in status.items() if outcome in _UNKNOWN]
    if unknown or not status:
        raise NotMeasured(f"mutmut did not come to an end on {module}: {len(unknown)} left")
    survivors = tuple(name for name, outcome in status.items() if outcome in _ALIVE)
    differences = tuple(difference(run("show", name)) for name in survivors)
    return Score(module, len(status), survivors, differences, time.monotonic() - begun)


def configuration(module: str, tests: Sequence[str]) -> str:
    """What mutmut is told about one module and its tests, as its setup.cfg."""
    lines = [
        "[mutmut]",
        "source_paths=app",
        f"only_mutate={module}",
        "also_copy=benchmarks",
        "pytest_add_cli_args_test_selection=",
        *(f"    {argument}" for argument in tests),
        *(f"    {argument}" for argument in (["-k", ONLY[module]] if module in ONLY else [])),
        "pytest_add_cli_args=",
        "    -p",
        "    benchmarks.mutation.quickest",
        "    -p",
        "    no:cacheprovider",
        f"timeout_multiplier={_PATIENCE}",
        f"timeout_constant={_MORE_SECONDS}",
        "use_git_change_detection=false",
    ]
    return "\n".join(lines) + "\n"


def outcomes(results: str) -> dict[str, str]:
    """Mutant → outcome, from what `mutmut results` prints."""
    lines = (line.strip() for line in results.splitlines())
    pairs = (line.rsplit(": ", 1) for line in lines if "__mutmut_" in line)
    return {name: outcome for name, outcome in pairs}  # noqa: C416 - the pairs are lists of two


def difference(shown: str) -> str:
    """The changed lines of what `mutmut show` prints."""
    changed = (line for line in shown.splitlines() if line[:1] in ("-", "+"))
    return "\n".join(f"    {line}" for line in changed if line[:3] not in ("---", "+++"))


def show(scores: Sequence[Score]) -> None:
    """Print the table of all scores and their sum."""
    mutants, killed = sum(s.mutants for s in scores), sum(s.killed for s in scores)
    total = _row("all", mutants, killed, sum(s.seconds for s in scores))
    rows = [_HEAD, *(score.row() for score in scores), total]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for name, *numbers in rows:
        cells = (text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True))
        print(f"{name.ljust(widths[0])}  {'  '.join(cells)}")


def _row(name: str, mutants: int, killed: int, seconds: float) -> tuple[str, ...]:
    score = f"{killed / mutants:.1%}"
    return (
        name,
        str(mutants),
        str(killed),
        str(mutants - killed),
        score,
        f"{seconds / 60:.1f}",
    )


if __name__ == "__main__":
    sys.exit(main())
