"""Precision, recall and false alarms of the anomaly methods, side by side.

Recorded daily closes are read from --data, else from the folder in MARKET_DATA_DIR, else from
../shared/data; without them the generated series are all there is. The same input gives the same
output, to the last digit.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from app.core.market import DAY
from app.domain.anomalies import RelativeRule, RobustRule, Rule, SeriesJudgement, judge_series
from benchmarks.anomaly.series import KINDS, SIZES, Closes, generated, recorded, with_spikes

ROOT: Final = Path(__file__).resolve().parents[2]
POINTS: Final = 2_500
SEEDS: Final = 3
"""How long a generated series is, and how many times spikes are injected."""

METHODS: Final[dict[str, Rule]] = {
    "relative": RelativeRule(Decimal("0.05")),
    "robust": RobustRule(),
    "robust at 3.5": RobustRule(multiple=Decimal("3.5")),
}
"""The two defaults, and the robust rule with the multiple for normal distributions."""


@dataclass(frozen=True, slots=True)
class Count:
    """What one method did. An alarm is true on a spike or on the close that ends it."""

    judged: int = 0
    alarms: int = 0
    true_alarms: int = 0
    spikes: int = 0
    found: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.judged + other.judged,
            self.alarms + other.alarms,
            self.true_alarms + other.true_alarms,
            self.spikes + other.spikes,
            self.found + other.found,
        )

    def cells(self) -> list[str]:
        """Precision, recall, and alarms that are not true in 1,000 judged points."""
        precision = self.true_alarms / self.alarms if self.alarms else 0.0
        false = 1_000 * (self.alarms - self.true_alarms) / self.judged
        return [f"{precision:.1%}", f"{self.found / self.spikes:.1%}", f"{false:.1f}"]


Row = tuple[str, str, dict[str, Count]]
"""A series, the size of its spikes, and each method's count."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns the exit code: 0, or 2 where --data is no folder."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.anomaly", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder of recordings")
    options = parser.parse_args(argv)
    if options.data is not None and not options.data.is_dir():
        parser.error(f"--data {options.data} is no folder")
    folder = options.data or Path(
        os.environ.get("MARKET_DATA_DIR", ROOT.parent / "shared" / "data")
    )
    print(
        f"Spikes in generated series (the truth is known)\n\n{table(in_generated(POINTS, SEEDS))}"
    )
    recordings = [recorded(path) for path in sorted((folder / "daily").glob("*.csv"))]
    if recordings:
        print(
            "\nSpikes in recorded series (other alarms may be real events, so precision is at least, and "
            f"false alarms are at most, what is shown)\n\n{table(in_recorded(recordings, SEEDS))}"
        )
    else:
        print(f"\nNo recorded daily closes in {folder}: set MARKET_DATA_DIR or give --data.")
    return 0


def in_generated(points: int, seeds: int) -> Iterator[Row]:
    """Spikes in generated series, another series for each seed."""
    for size in SIZES:
        for kind in KINDS:
            samples = (generated(kind, points, seed) for seed in range(seeds))
            yield kind, size.name, counted(with_spikes(s, size, n) for n, s in enumerate(samples))


def in_recorded(recordings: Sequence[Closes], seeds: int) -> Iterator[Row]:
    """Spikes in recorded series, in other places and of other sizes for each seed."""
    for size in SIZES:
        for series in recordings:
            spoilt = (with_spikes(series, size, seed) for seed in range(seeds))
            yield series.name, size.name, counted(spoilt)


def counted(spoilt: Iterable[tuple[Closes, list[int]]]) -> dict[str, Count]:
    """Each method's count over series and the places of their spikes."""
    totals = dict.fromkeys(METHODS, Count())
    for series, places in spoilt:
        spikes = [series.buckets[at] for at in places]
        for method, rule in METHODS.items():
            judgement = judge_series(series.buckets, series.closes, DAY, rule)
            totals[method] += count(judgement, spikes)
    return totals


def count(judgement: SeriesJudgement, spikes: Sequence[int]) -> Count:
    """Count the alarms; `spikes` are the buckets with a wrong close."""
    wrong = set(spikes)
    true = wrong | {bucket + DAY for bucket in wrong}
    alarms = [point.bucket for point in judgement.anomalies]
    return Count(
        judgement.judged,
        len(alarms),
        sum(bucket in true for bucket in alarms),
        len(wrong),
        sum(bucket in wrong for bucket in alarms),
    )


def table(rows: Iterable[Row]) -> str:
    """The rows, and beneath them all of them together, as a Markdown table."""
    heads = [
        f"{title}: {m}" for m in METHODS for title in ("precision", "recall", "false per 1,000")
    ]
    lines = [["series", "spikes", *heads], ["---"] * 2 + ["---:"] * len(heads)]
    totals = dict.fromkeys(METHODS, Count())
    for series, size, counts in rows:
        lines.append([series, size, *(cell for each in counts.values() for cell in each.cells())])
        totals = {method: totals[method] + counts[method] for method in METHODS}
    lines.append(["all", "", *(cell for each in totals.values() for cell in each.cells())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
