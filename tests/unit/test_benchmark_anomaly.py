"""The anomaly benchmark runs without recordings, counts rightly and repeats itself."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from app.core.market import DAY
from app.utils.anomalies import AnomalousPoint, SeriesJudgement, judge
from benchmarks.anomaly import __main__ as command
from benchmarks.anomaly.evaluation import METHODS, Count, count, injected_into_generated
from benchmarks.anomaly.series import KEPT_APART, KINDS, SIZES, generated, with_spikes


def test_generated_series_are_judged_by_every_method() -> None:
    rows = injected_into_generated(300, 1)
    assert [row.series for row in rows] == list(KINDS) * len(SIZES)
    for row in rows:
        assert list(row.counts) == list(METHODS)
        for counts in row.counts.values():
            assert counts.wanted == 2
            assert counts.found <= counts.true_alarms <= counts.alarms < counts.judged
    # A spike of at least 6 % in a series that moves by half a percent is missed by no method.
    assert {counts.recall for counts in rows[0].counts.values()} == {1.0}


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
    arguments = ["--points", "300", "--seeds", "1", "--data", str(tmp_path)]
    assert command.main(arguments) == 0
    said = capsys.readouterr().out
    assert "| 1 of 2 | 1 of 2 | 1 of 2 |" in said
    assert "abcxyz_1d, missed by relative: nothing." in said
    assert "broken.csv is left out" in said
    assert "The events of other are left out" in said
    assert command.main(arguments) == 0
    assert capsys.readouterr().out == said


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
