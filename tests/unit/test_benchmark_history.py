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
        ({"sqlite": 1.3001, "postgres": 1.0}, 1),
        ({"sqlite": 1.0, "postgres": 2.0}, 1),
        ({"sqlite": 1.0}, 2),
        ({"sqlite": 1.4}, 1),
    ],
)
def test_the_exit_code_says_whether_reading_depends_on_what_is_stored(
    capsys: pytest.CaptureFixture[str], ratios: dict[str, float], code: int
) -> None:
    assert main(["--json"], saying(**ratios)) == code
    printed = capsys.readouterr().out.splitlines()
    assert json.loads(printed[-1]) == {
        "rows": 1_000_000,
        "ratios": {kind: round(ratio, 3) for kind, ratio in ratios.items()},
        "exit": code,
    }
    assert any("not measured" in line for line in printed) == ("postgres" not in ratios)


def test_only_the_databases_that_are_asked_for_are_measured() -> None:
    assert main(["--db", "sqlite"], saying(sqlite=1.0)) == 0
    assert main(["--db", "postgres"], saying(sqlite=1.0)) == 2
    with pytest.raises(SystemExit):
        main(["--rows", "1000"], saying())


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--db", "sqlite", "--rows", "2000", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["ratios"]["sqlite"] > 0
    assert code == found["exit"] == (found["ratios"]["sqlite"] > HIGHEST_RATIO)


@pytest.mark.usefixtures("postgres_server")
def test_it_runs_on_postgresql_too(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--db", "postgres", "--rows", "2000", "--json"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ratios"]["postgres"] > 0
