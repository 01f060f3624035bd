"""Precision, recall and false alarms of the anomaly methods, side by side.

Recorded daily closes are read from --data, else from the folder in MARKET_DATA_DIR, else from
../shared/data; without them the generated series are all there is. The same input gives the same
output, to the last digit.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.anomaly import evaluation
from benchmarks.anomaly.evaluation import METHODS, Count, EventRow, Row
from benchmarks.anomaly.series import SPACING, events, recorded

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Results:
    """Everything that was counted, and what could not be."""

    generated: list[Row]
    clean: list[Row] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    recorded: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns the exit code: 0, or 2 where --data is no folder."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.anomaly", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder of recordings")
    parser.add_argument("--generated-only", action="store_true", help="leave the recordings out")
    parser.add_argument("--points", type=int, default=2_500, help="length of a generated series")
    parser.add_argument("--seeds", type=int, default=3, help="how many times spikes are injected")
    options = parser.parse_args(argv)
    if options.points < 2 * SPACING or options.seeds < 1:
        parser.error(f"--points must be at least {2 * SPACING} and --seeds at least 1")
    if options.data is not None and not options.data.is_dir():
        parser.error(f"--data {options.data} is no folder")
    results = Results(evaluation.injected_into_generated(options.points, options.seeds))
    if not options.generated_only:
        folder = options.data or Path(
            os.environ.get("MARKET_DATA_DIR", ROOT.parent / "shared" / "data")
        )
        add_recordings(results, folder, options.seeds)
    print(as_text(results))
    return 0


def add_recordings(results: Results, folder: Path, seeds: int) -> None:
    """Judge what is in the folder; what cannot be used is named in the notes."""
    series = []
    for path in sorted((folder / "daily").glob("*.csv")):
        try:
            found = recorded(path)
            results.clean.append(evaluation.as_it_is(found))
        except ValueError as error:
            results.notes.append(f"{path.name} is left out: {error}.")
        else:
            series.append(found)
    if not series:
        results.notes.append(
            f"No recorded daily closes in {folder}: set MARKET_DATA_DIR or give --data."
        )
    known = events(folder / "anomaly")
    results.events = evaluation.known_events(known, series)
    found_labels = {row.label for row in results.events}
    for label in sorted({event.label for event in known} - found_labels):
        results.notes.append(f"The events of {label} are left out: no series goes by such a name.")
    results.recorded = evaluation.injected_into_recorded(series, seeds)


def as_text(results: Results) -> str:
    """The tables, in Markdown."""
    parts = [
        "Spikes injected into generated series (the truth is known)",
        table(("series", "spikes"), spike_cells(results.generated), SPIKE_COLUMNS),
    ]
    if results.recorded:
        parts += [
            "Spikes injected into recorded series (other alarms may be real events, so precision is at "
            "least, and false alarms are at most, what is shown)",
            table(("series", "spikes"), spike_cells(results.recorded), SPIKE_COLUMNS),
            "Recorded closes as they are (what is false among the alarms is unknown)",
            table(
                ("series",), [((row.series,), row.counts) for row in results.clean], RATE_COLUMNS
            ),
        ]
    if results.events:
        cells = [((row.label, row.series), row.counts) for row in results.events]
        parts += [
            "Known events, on the close of their day (the list is not exhaustive: no precision)",
            table(("events of", "judged in"), cells, EVENT_COLUMNS),
        ]
        parts += [
            f"{row.series}, missed by {method}: {'; '.join(titles) or 'none'}."
            for row in results.events
            for method, titles in row.missed.items()
        ]
    return "\n\n".join(parts + results.notes)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


Columns = Sequence[tuple[str, Callable[[Count], str]]]
SPIKE_COLUMNS: Columns = (
    ("precision", lambda count: _share(count.precision)),
    ("recall", lambda count: _share(count.recall)),
    ("false per 1,000", lambda count: f"{count.false_per_1000:.1f}"),
)
RATE_COLUMNS: Columns = (
    ("judged", lambda count: f"{count.judged:,}"),
    ("alarms per 1,000", lambda count: f"{count.alarms_per_1000:.1f}"),
)
EVENT_COLUMNS: Columns = (
    ("recall", lambda count: f"{count.found} of {count.wanted}"),
    ("alarms per 1,000", lambda count: f"{count.alarms_per_1000:.1f}"),
)

Cells = Sequence[tuple[Sequence[str], evaluation.Counts]]


def spike_cells(rows: Sequence[Row]) -> Cells:
    """Rows, and beneath them all of them together."""
    totals = dict.fromkeys(METHODS, Count())
    for row in rows:
        totals = {method: totals[method] + row.counts[method] for method in METHODS}
    return [*(((row.series, row.size), row.counts) for row in rows), (("all", ""), totals)]


def table(heads: Sequence[str], cells: Cells, columns: Columns) -> str:
    """A table with a group of columns for each quantity, in each a column for each method."""
    titles = [*heads, *(f"{title}: {method}" for title, _ in columns for method in METHODS)]
    lines = [titles, ["---"] * len(heads) + ["---:"] * (len(titles) - len(heads))]
    lines += [
        [*names, *(cell(counts[method]) for _, cell in columns for method in METHODS)]
        for names, counts in cells
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
