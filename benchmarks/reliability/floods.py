"""One upstream call while the host trickles or floods: `benchmarks.flood` as a figure of this table."""

from __future__ import annotations

from typing import Final

from benchmarks.flood.__main__ import MOST_MEGABYTES, MOST_SECONDS, measure_all
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.rig import Where

MEGABYTES: Final = 1_000


def measure(
    _where: Where,
    runs: int = 1,
    step: Step = no_step,
    *,
    megabytes: int = MEGABYTES,
    only: str = "",
) -> list[Figure]:
    """Meet every case `runs` times, with floods of so many megabytes."""
    troubles: list[str] = []
    rows = []
    for _ in range(runs):
        for row in measure_all(megabytes, only=only):
            rows.append(row)
            if row["seconds"] > MOST_SECONDS or row["megabytes"] > MOST_MEGABYTES:
                troubles.append(f"{row['case']}: {row['seconds']:.1f} s, {row['megabytes']:.1f} MB")
            step()
    slowest = max(rows, key=lambda row: row["seconds"])
    largest = max(rows, key=lambda row: row["megabytes"])
    floods = [row for row in rows if f"{megabytes} MB" in row["case"]] or rows
    return [
        figure(
            f"one upstream call under trickle or flood: at most {MOST_SECONDS:.0f} s and "
            f"{MOST_MEGABYTES:.0f} MB above base",
            "no database",
            len(rows),
            f"{slowest['seconds']:.1f} s ({slowest['case']}), {largest['megabytes']:.1f} MB "
            f"({largest['case']}); floods and bombs of {megabytes:,} MB under "
            f"{max(row['seconds'] for row in floods):.1f} s and "
            f"{max(row['megabytes'] for row in floods):.1f} MB",
            troubles,
        )
    ]
