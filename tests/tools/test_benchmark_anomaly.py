"""The anomaly benchmark spoils what it says, and counts rightly."""

from __future__ import annotations

from itertools import pairwise

from app.core.market import DAY
from app.domain.anomalies import AnomalousPoint, SeriesJudgement, judge
from benchmarks.anomaly.__main__ import METHODS, Count, count, in_generated
from benchmarks.anomaly.series import KEPT_APART, KINDS, SIZES, generated, with_spikes


def test_generated_series_are_judged_by_every_method() -> None:
    rows = list(in_generated(300, 1))
    assert [series for series, _, _ in rows] == list(KINDS) * len(SIZES)
    # A spike of at least 6 % in a series that moves by half a percent is missed by no method.
    assert {(each.spikes, each.found) for each in rows[0][2].values()} == {(2, 2)}


def test_an_alarm_is_true_on_a_spike_and_on_its_end_and_nowhere_else() -> None:
    normal = judge([1, 1], METHODS["relative"])
    alarms = tuple(AnomalousPoint(at * DAY, normal) for at in (3, 10, 11, 12))
    found = count(SeriesJudgement(500, 5, alarms), [10 * DAY, 20 * DAY])
    assert found == Count(judged=500, alarms=4, true_alarms=2, spikes=2, found=1)
    assert found.cells() == ["50.0%", "50.0%", "4.0"]


def test_spikes_stand_alone_and_spoil_nothing_else() -> None:
    clean = generated("clustered (GARCH, 4 % a day)", 1_000, seed=3)
    for size in SIZES:
        spoilt, places = with_spikes(clean, size, seed=1)
        assert len(places) == 9
        assert min(b - a for a, b in pairwise(places)) > KEPT_APART
        assert [at for at in range(1_000) if spoilt.closes[at] != clean.closes[at]] == places
