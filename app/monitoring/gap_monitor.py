"""Compare what is stored with what should be, name every missing range, and say so by exit code.

Made for cron: it prints what is missing and why, always logs one heartbeat line, and exits with
0 where nothing needs doing, 1 where candles or averages are missing or the data is stale, 2 where it
could not check. A bucket that the exchange did not have when asked twice, a day or more apart, is
listed but no reason for 1, unless --strict.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

import structlog

from app import bootstrap
from app.bootstrap import Runtime
from app.core.market import DAY
from app.core.settings import Settings
from app.events.types import GapDetected
from app.monitoring.repair import repair
from app.services.gaps import Inspection, inspect
from app.utils.days import iso
from app.workers import output
from app.workers.run import DONE, NOT_STARTED, SOME_FAILED, parser, run, runtime, series_of

COMMAND: Final = "gap_monitor"

_HEAD: Final = ("pair", "interval", "status", "stored", "expected", "missing", "newest", "checked")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Exit 0 complete, 1 gaps or stale, 2 could not check."""
    known = parser(f"app.monitoring.{COMMAND}", __doc__)
    known.add_argument(
        "--repair",
        action="store_true",
        help="ask the exchange for what is missing, then look again",
    )
    known.add_argument(
        "--strict", action="store_true", help="confirmed absences are a reason for exit 1 as well"
    )
    options = known.parse_args(argv)
    found: list[Inspection] = []
    code = run(COMMAND, lambda settings: _check(settings, options, found))
    if not found and code == SOME_FAILED:
        code = NOT_STARTED  # what failed is the check itself, not the data
    _heartbeat(code, found)
    return code


def _check(settings: Settings, options: argparse.Namespace, found: list[Inspection]) -> int:
    series = series_of(settings, options)
    with runtime(settings, create=False) as made:
        seen = [inspect(made.series, *item, settings.history_days, made.clock()) for item in series]
        notes: list[str] = []
        if options.repair and not all(item.complete(strict=options.strict) for item in seen):
            with bootstrap.open_candle_source(settings, made.gate_for) as source:
                repaired = [repair(made, source, item, strict=options.strict) for item in seen]
            seen = [item for item, _ in repaired]
            notes = [note for _, note in repaired if note]
        _publish(made, seen)
    found += seen
    code = DONE if all(item.complete(strict=options.strict) for item in seen) else SOME_FAILED
    _show(seen, notes, strict=options.strict)
    if options.json:
        output.json_line(
            {"command": COMMAND, "exit": code, "series": [_as_json(i, options) for i in seen]}
        )
    return code


def _publish(made: Runtime, seen: Sequence[Inspection]) -> None:
    for item in seen:
        for gap in item.gaps:
            made.events.publish(
                GapDetected(
                    item.pair, item.interval, gap.first, gap.last, gap.count, gap.cause.value
                )
            )


def _heartbeat(code: int, found: Sequence[Inspection]) -> None:
    """One line whatever happened: a monitor that says nothing is itself the trouble."""
    status = {DONE: "complete", SOME_FAILED: "incomplete"}.get(code, "could_not_check")
    structlog.get_logger().info(
        "monitor_heartbeat",
        status=status,
        exit_code=code,
        series=len(found),
        gaps=sum(len(item.gaps) for item in found),
        missing=sum(item.missing for item in found),
        wrong_averages=sum(len(item.wrong_averages) for item in found),
        stale=sum(item.stale for item in found),
        quarantined=sum(item.quarantined for item in found),
    )


def _show(seen: Sequence[Inspection], notes: Sequence[str], *, strict: bool) -> None:
    output.table(_HEAD, [_row(item, strict=strict) for item in seen])
    for item in seen:
        name = f"{item.pair} {item.interval}"
        for gap in item.gaps:
            period = _period(item, gap.first, gap.last)
            output.line(f"{name} missing {period} ({gap.count}): {gap.cause.value}")
        for span in item.wrong_averages:
            output.line(f"{name} wrong averages {_period(item, *span)}: run with --repair")
        if item.quarantined:
            output.line(
                f"{name} has {item.quarantined} refusals on record: "
                f"GET /{item.pair}/quarantine?interval={item.interval}"
            )
        if item.stale:
            output.line(f"{name} is stale: {_age(item)}; run make incremental")
    for note in notes:
        output.line(note)


def _row(item: Inspection, *, strict: bool) -> list[object]:
    return [
        item.pair,
        item.interval,
        "complete" if item.complete(strict=strict) else "incomplete",
        item.stored,
        item.expected,
        item.missing,
        "-" if item.newest is None else iso(item.newest),
        "never" if item.checked_at is None else iso(item.checked_at),
    ]


def _period(item: Inspection, first: int, last: int) -> str:
    """A range of buckets as ISO dates; with the time where a bucket is shorter than a day."""
    long = item.interval.seconds < DAY
    ends = [iso(bucket) if long else iso(bucket)[:10] for bucket in (first, last)]
    return ends[0] if first == last else f"{ends[0]}..{ends[1]}"


def _age(item: Inspection) -> str:
    if item.age is None:
        return "nothing is stored"
    return f"its newest candle closed {item.age / item.interval.seconds:.1f} intervals ago"


def _as_json(item: Inspection, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "pair": str(item.pair),
        "interval": str(item.interval),
        "first": iso(item.served.first),
        "last": iso(item.served.last),
        "expected": item.expected,
        "stored": item.stored,
        "missing": item.missing,
        "complete": item.complete(strict=options.strict),
        "stale": item.stale,
        "newest": None if item.newest is None else iso(item.newest),
        "age_seconds": item.age,
        "checked_at": None if item.checked_at is None else iso(item.checked_at),
        "gaps": [
            {
                "first": iso(gap.first),
                "last": iso(gap.last),
                "count": gap.count,
                "cause": gap.cause.value,
            }
            for gap in item.gaps
        ],
        "quarantined": item.quarantined,
        "wrong_averages": [[iso(span.first), iso(span.last)] for span in item.wrong_averages],
    }


if __name__ == "__main__":
    sys.exit(main())
