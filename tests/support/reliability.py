"""What the tests of reliability share with its measurements: where they run, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.reliability.figures import Figure
from benchmarks.reliability.rig import Where
from tests.support.postgres import Postgres


def on(server: Postgres) -> Where:
    """The databases of a server that runs already."""

    @contextmanager
    def databases() -> Iterator[Callable[[], str]]:
        yield server.create

    return Where("postgres", databases)


def kept(figures: Sequence[Figure]) -> None:
    """Assert that something was measured, and that every promise held."""
    assert figures != []
    broken = [figure for figure in figures if not figure.held]
    assert broken == [], broken
