"""What the steps of the drill gave, what is a broken promise in it, and the table of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.core.market import DAY as SECONDS
from app.core.market import Pair
from benchmarks.topology.load import Load
from benchmarks.topology.reader import Read
from benchmarks.topology.stack import Stack

SERVED_WITHIN: Final = 5.0
"""Seconds after a commit from which on nobody may serve what was before it."""

FEWEST: Final = 100
"""Reads that are compared in one step; fewer prove nothing."""


@dataclass(frozen=True)
class Step:
    """What is done to the topology: `breaks` takes something away, `mends` gives it back."""

    key: str
    name: str
    breaks: Callable[[Stack], None] = lambda _stack: None
    mends: Callable[[Stack], None] = lambda _stack: None


@dataclass
class Result:
    """The result of a step. `late`: the longest time after a commit with an older reply."""

    step: Step
    load: Load
    reads: int
    failed: int
    wrong: int
    late: float
    slowest: float
    retried: int
    troubles: list[str] = field(default_factory=list)


def lateness(commits: Mapping[Pair, Mapping[int, float]], read: Read) -> float:
    """For how many seconds the version that a read shows had been out of date when it began.

    `commits` tells when the version with each newest day was committed.
    """
    if read.newest is None:
        return 0.0
    replaced = commits[read.pair].get(read.newest + SECONDS)
    return 0.0 if replaced is None else max(0.0, read.begun - replaced)


def judged(result: Result) -> Result:
    """The result, with what is not as promised among its troubles."""
    if result.reads < FEWEST or result.load.requests < FEWEST:
        result.troubles.append(f"only {result.reads} reads and {result.load.requests} requests")
    if result.late > SERVED_WITHIN:
        result.troubles.append(f"older data was served {result.late:.1f} s after a commit")
    if result.load.failed:
        result.troubles.append(f"wrk counts {result.load.failed} failures")
    return result


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table, with the troubles beneath it."""
    head = (
        "step",
        "requests",
        "per second",
        "failed reads",
        "wrong bodies",
        "newest everywhere after",
        "slowest read",
        "asked twice by nginx",
    )
    rows = [
        (
            r.step.name,
            f"{r.load.requests + r.reads:,}",
            f"{r.load.requests / r.load.seconds:,.0f}",
            str(r.failed),
            str(r.wrong),
            f"{r.late:.2f} s",
            f"{r.slowest:.2f} s",
            str(r.retried),
        )
        for r in results
    ]
    lines = [" | ".join(row) for row in [head, ("---", *["---:"] * 7), *rows]]
    troubles = [f"{r.step.name}: {trouble}" for r in results for trouble in r.troubles[:5]]
    return "\n".join([*(f"| {line} |" for line in lines), *troubles])
