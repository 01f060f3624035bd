"""The benchmark of newest-first reads measures what it says, and its exit code tells."""

from __future__ import annotations

import json

import pytest

from benchmarks.history.__main__ import HIGHEST_RATIO, Measure, main
from benchmarks.reliability.rig import Where


def saying(**ratios: float) -> Measure:
    """A measurement that finds these; what is not among them is not installed."""

    def measure(where: Where, rows: int) -> float:
        if where.kind not in ratios:
            raise LookupError("not installed")
        return ratios[where.kind]

    return measure


@pytest.mark.parametrize(
    ("ratios", "code"),
    [
        ({"sqlite": 1.0, "postgres": 1.3}, 0),
        ({"sqlite": 1.0, "postgres": 1.3001}, 1),
        ({"sqlite": 1.0}, 2),
        ({"sqlite": 1.4}, 1),
    ],
)
def test_the_exit_code_says_whether_reading_depends_on_what_is_stored(
    ratios: dict[str, float], code: int
) -> None:
    assert main([], saying(**ratios)) == code


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--db", "sqlite", "--rows", "2000", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["ratios"]["sqlite"] > 0
    assert code == found["exit"] == (found["ratios"]["sqlite"] > HIGHEST_RATIO)
