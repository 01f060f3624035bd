"""The anomaly benchmark runs without recordings, counts rightly and repeats itself."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from app.core.market import DAY
from app.utils.anomalies import AnomalousPoint, SeriesJudgement, judge
from benchmarks.anomaly import __main__ as command
from benchmarks.anomaly.evaluation import METHODS, Count, count
from benchmarks.anomaly.series import (
    KEPT_APART,
    KINDS,
    SIZES,
    generated,
    with_spikes,
)

QUICK = ["--points", "300", "--seeds", "1"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert command.main([*QUICK, *arguments]) == 0
    return capsys.readouterr().out


def test_generated_series_are_judged_by_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[str, Any] = json.loads(run(capsys, "--generated-only", "--json"))
    rows = found["injected_into_generated"]
    assert [row["series"] for row in rows] == list(KINDS) * len(SIZES)
    for row in rows:
        assert list(row["methods"]) == list(METHODS)
        for counts in row["methods"].values():
            assert counts["spikes"] == 2
            assert counts["found"] <= counts["true_alarms"] <= counts["alarms"] < counts["judged"]
    # A spike of at least 6 % in a series that moves by half a percent is missed by no method.
    assert [counts["recall"] for counts in rows[0]["methods"].values()] == [1.0, 1.0, 1.0]
    assert found["injected_into_recorded"] == found["known_events"] == found["notes"] == []


def test_recordings_are_judged_where_there_are_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = generated(next(iter(KINDS)), 300, seed=7)
    (tmp_path / "daily").mkdir()
    (tmp_path / "anomaly").mkdir()
    lines = [
        f"{bucket},{close / 10**8:.8f}"
        for bucket, close in zip(made.buckets, made.closes, strict=True)
    ]
    lines[200] = f"{200 * DAY},1"
    (tmp_path / "daily/abcxyz_1d.csv").write_text("\n".join(["timestamp,close", *lines]))
    (tmp_path / "daily/broken.csv").write_text("timestamp,close\n86400,many\n")
    (tmp_path / "anomaly/known_events.csv").write_text(
        "date_utc,series,event\n1970-07-20,ABCXYZ (made),crash\n1970-07-10,ABCXYZ (made),nothing\n"
        "1970-07-20,other,elsewhere\n"
    )
    found: dict[str, Any] = json.loads(run(capsys, "--data", str(tmp_path), "--json"))
    assert [row["series"] for row in found["recorded_as_they_are"]] == ["abcxyz_1d"]
    (events,) = found["known_events"]
    for counts in events["methods"].values():
        assert (counts["events"], counts["found"], counts["missed"]) == (2, 1, ["nothing"])
    broken, other = found["notes"]
    assert "broken.csv" in broken
    assert "other" in other
    assert "| 1 of 2 | 1 of 2 | 1 of 2 |" in run(capsys, "--data", str(tmp_path))


def test_an_alarm_is_true_on_a_spike_and_on_its_end_and_nowhere_else() -> None:
    normal = judge([1, 1], METHODS["relative"])
    alarms = tuple(AnomalousPoint(at * DAY, normal) for at in (3, 10, 11, 12))
    found = count(SeriesJudgement(500, 5, alarms), [10 * DAY, 20 * DAY])
    assert found == Count(judged=500, alarms=4, true_alarms=2, wanted=2, found=1)
    assert (found.precision, found.recall) == (0.5, 0.5)
    assert (found.alarms_per_1000, found.false_per_1000) == (8.0, 4.0)


def test_spikes_stand_alone_and_spoil_nothing_else() -> None:
    clean = generated("clustered (GARCH, 4 % a day)", 1_000, seed=3)
    for size in SIZES:
        spoilt, places = with_spikes(clean, size, seed=1)
        assert len(places) == 9
        assert min(b - a for a, b in pairwise(places)) > KEPT_APART
        assert [at for at in range(1_000) if spoilt.closes[at] != clean.closes[at]] == places
        assert with_spikes(clean, size, seed=1) == (spoilt, places)
