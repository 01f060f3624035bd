"""Each method on each series, counted. What a count can mean depends on what is known of the series.

- Spikes injected into a generated series: everything is known, so precision and false alarms are what
  they say.
- Spikes injected into a recorded series: an alarm elsewhere may be a real event. What is counted
  there as false is an upper bound, and the precision a lower one.
- Known events: nobody has listed them all, so an alarm on another day is not false. Recall, and the
  rate of alarms that it is bought with, is all there is to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from app.core.market import DAY
from app.utils.anomalies import SeriesJudgement, judge_series
from app.utils.anomaly_rules import RelativeRule, RobustRule, Rule
from benchmarks.anomaly.series import (
    KINDS,
    SIZES,
    Event,
    Series,
    Size,
    generated,
    meant_by,
    with_spikes,
)

METHODS: Final[dict[str, Rule]] = {
    "relative": RelativeRule(Decimal("0.05")),
    "robust": RobustRule(),
    "robust at 3.5": RobustRule(multiple=Decimal("3.5")),
}
"""The two defaults, and the robust rule with the multiple that is meant for normal distributions."""


@dataclass(frozen=True, slots=True)
class Count:
    """What one method did. An alarm is true on a wanted point or on the close that ends its spike."""

    judged: int = 0
    alarms: int = 0
    true_alarms: int = 0
    wanted: int = 0
    found: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.judged + other.judged,
            self.alarms + other.alarms,
            self.true_alarms + other.true_alarms,
            self.wanted + other.wanted,
            self.found + other.found,
        )

    @property
    def precision(self) -> float | None:
        """The share of the alarms that are true; None without an alarm."""
        return self.true_alarms / self.alarms if self.alarms else None

    @property
    def recall(self) -> float | None:
        """The share of the wanted points with an alarm; None where nothing is wanted."""
        return self.found / self.wanted if self.wanted else None

    @property
    def alarms_per_1000(self) -> float:
        """Alarms in 1,000 judged points."""
        return 1000 * self.alarms / self.judged if self.judged else 0.0

    @property
    def false_per_1000(self) -> float:
        """Alarms that are not true in 1,000 judged points."""
        return 1000 * (self.alarms - self.true_alarms) / self.judged if self.judged else 0.0


Counts = dict[str, Count]
"""By method, in the order of METHODS."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a series, what was put into it, and each method's counts."""

    series: str
    size: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class EventRow:
    """The known events of one label, judged in one series; `missed` are titles by method."""

    label: str
    series: str
    counts: Counts
    missed: dict[str, list[str]]


def judged(series: Series) -> dict[str, SeriesJudgement]:
    """The series by every method. Raises ValueError where it cannot be judged."""
    return {
        method: judge_series(series.buckets, series.closes, DAY, rule)
        for method, rule in METHODS.items()
    }


def count(judgement: SeriesJudgement, spikes: Sequence[int] = ()) -> Count:
    """Count the alarms; `spikes` are the buckets with a wrong close."""
    wanted = set(spikes)
    true = wanted | {bucket + DAY for bucket in wanted}
    alarms = [point.bucket for point in judgement.anomalies]
    return Count(
        judged=judgement.judged,
        alarms=len(alarms),
        true_alarms=sum(bucket in true for bucket in alarms),
        wanted=len(wanted),
        found=sum(bucket in wanted for bucket in alarms),
    )


def as_it_is(series: Series) -> Row:
    """How often each method alarms on a series. Raises ValueError where it cannot be judged."""
    return Row(series.name, "", {method: count(found) for method, found in judged(series).items()})


def known_events(events: Sequence[Event], candidates: list[Series]) -> list[EventRow]:
    """Which of the known events each method finds in the closes of its series."""
    rows = []
    for label in dict.fromkeys(event.label for event in events):
        series = meant_by(label, candidates)
        if series is None:
            continue
        days = set(series.buckets)
        wanted = {event.bucket: event.title for event in events if event.label == label}
        wanted = {bucket: title for bucket, title in wanted.items() if bucket in days}
        counts, missed = {}, {}
        for method, found in judged(series).items():
            alarms = {point.bucket for point in found.anomalies}
            hits = len(alarms & wanted.keys())
            counts[method] = replace(count(found), wanted=len(wanted), found=hits, true_alarms=hits)
            missed[method] = [title for bucket, title in wanted.items() if bucket not in alarms]
        rows.append(EventRow(label, series.name, counts, missed))
    return rows


def injected(name: str, variants: Iterable[Series], size: Size) -> Row:
    """Spikes of one size in each of the variants of a series, counted together."""
    totals = dict.fromkeys(METHODS, Count())
    for seed, variant in enumerate(variants):
        series, places = with_spikes(variant, size, seed)
        spikes = [series.buckets[at] for at in places]
        for method, found in judged(series).items():
            totals[method] += count(found, spikes)
    return Row(name, size.name, totals)


def injected_into_recorded(candidates: Sequence[Series], seeds: int) -> list[Row]:
    """Spikes in recorded series, in other places and of other sizes for each seed."""
    return [
        injected(series.name, [series] * seeds, size) for size in SIZES for series in candidates
    ]


def injected_into_generated(points: int, seeds: int) -> list[Row]:
    """Spikes in generated series, another series for each seed."""
    return [
        injected(kind, (generated(kind, points, seed) for seed in range(seeds)), size)
        for size in SIZES
        for kind in KINDS
    ]
