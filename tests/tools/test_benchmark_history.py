"""The benchmark of newest-first reads runs, and its exit code says what it found."""

from __future__ import annotations

import pytest

from benchmarks.history.__main__ import HIGHEST_RATIO, main


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--db", "sqlite", "--rows", "2000"])
    ratio = capsys.readouterr().out.split("ratio ")[1].split()[0]
    assert float(ratio) > 0
    assert code == (float(ratio) > HIGHEST_RATIO)
