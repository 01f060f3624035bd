"""What the application costs before the first request: its import, and the memory when idle."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from benchmarks.reads.bench import App, Bench
from benchmarks.reads.results import Goal, Reading
from benchmarks.reads.servers import service
from tests.support.processes import ROOT, environment

RUNS: Final = 3
"""Runs of an import in one round; the median counts."""


def start(bench: Bench) -> None:
    """Import of app.main beside that of its two largest libraries, and an idle process."""
    libraries = "import fastapi, sqlalchemy"
    for app in bench.apps:
        what = f"import app.main{app.label}"
        ours = bench.case(what, "ms CPU", _importing(bench, "import app.main", app))
        other = bench.case(libraries, "ms CPU", _importing(bench, libraries, App(ROOT)))
        bench.row(what, ours, other, Goal(1.5, at_most=True))
        idle = bench.case(f"idle process{app.label}", "MB", _idle(bench, app))
        bench.row(f"memory of an idle API process{app.label}", idle, None, Goal(80, at_most=True))


def _importing(bench: Bench, statement: str, app: App) -> Callable[[int], Reading]:
    """The CPU of a whole interpreter that does nothing else, its own start included."""
    variables = environment(bench.folder) | {"PYTHONPATH": str(app.root)}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", statement]

    def once() -> float:
        process = subprocess.Popen(command, cwd=bench.folder, env=variables)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{statement} fails"
        return used.ru_utime + used.ru_stime

    once()  # writes the bytecode

    return lambda _number: Reading(statistics.median(once() for _ in range(RUNS)) * 1e3)


def _idle(bench: Bench, app: App) -> Callable[[int], Reading]:
    def measure(number: int) -> Reading:
        name = f"idle {number}{app.label}"
        with service(name, bench.folder, app.root, DB_URL=bench.data.db_url) as server:
            return Reading(server.resident())

    return measure
