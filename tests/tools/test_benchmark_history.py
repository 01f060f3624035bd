"""The benchmark of newest-first reads runs, and its exit code says what it found."""

from __future__ import annotations

import pytest

from benchmarks.history.__main__ import main


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--db", "sqlite", "--rows", "2000"])
    said = capsys.readouterr().out
    assert float(said.split("ratio ")[1].split()[0]) > 0
    # Prices and gaps have a limit each. What a busy machine makes of them is told, and is the code.
    assert code == any(line.startswith("above ") for line in said.splitlines())
