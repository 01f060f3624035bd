"""Compare stored candles and averages with the expected ones; report every gap.

For cron: it prints what is missing and why, and always logs one heartbeat line. It exits with 0
if nothing needs doing, 1 if candles or averages are missing or the data is stale, and 2 if it could
not check. Gaps in the 199 buckets before the served period count as well: the first averages need
them. A confirmed absence (the exchange had no candle at two requests, a day or more apart) is
listed, but is a reason for 1 only with --strict.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from app import bootstrap
from app.bootstrap import Runtime
from app.commands import output
from app.commands.command import DONE, NOT_STARTED, SOME_FAILED, Ending, run
from app.commands.series import series_of, series_parser
from app.core.errors import AWAY, StoreError, UpstreamError
from app.core.how_to_run import how_to_run
from app.core.logging import always
from app.core.market import DAY
from app.core.settings import Settings
from app.domain.times import duration, iso, iso_or_none
from app.events.types import GapDetected
from app.monitoring.repair import repair
from app.services.comparing import quarantine_request
from app.services.gaps import Inspection, inspect
from app.sources.network import Network

COMMAND: Final = "gap_monitor"

_HEAD: Final = (
    "pair",
    "interval",
    "status",
    "stored",
    "expected",
    "missing",
    "newest",
    "newest_age",
    "checked",
    "checked_age",
)


@dataclass(slots=True)
class _Report:
    """The results so far, kept outside the work so that a stop during a repair does not lose them.

    `inspections` is None until every series was inspected.
    """

    strict: bool = False
    inspections: list[Inspection] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing needs doing, as far as was inspected."""
        return all(item.complete(strict=self.strict) for item in self.inspections or ())


def main(
    argv: Sequence[str] | None = None, prog: str = f"python -m app.monitoring.{COMMAND}"
) -> int:
    """Run the command. Exit 0 complete, 1 gaps or stale, 2 could not check."""
    parser = series_parser(prog, __doc__)
    parser.add_argument(
        "--repair",
        action="store_true",
        help="ask the exchange for what is missing, then look again",
    )
    parser.add_argument(
        "--strict", action="store_true", help="confirmed absences are a reason for exit 1 as well"
    )
    report = _Report()
    return run(
        COMMAND,
        parser,
        argv,
        lambda settings, options: _check(settings, options, report),
        conclude=lambda end: _conclude(end, report),
    )


def _conclude(end: Ending, report: _Report) -> int:
    """Log the heartbeat, print the report however the check ended, and return the exit code."""
    code = end.code
    if code == SOME_FAILED and report.inspections is None:
        code = NOT_STARTED  # the check failed, not the data
    _heartbeat(code, report)
    _show(report)
    if end.as_json:
        output.json_line(_summary(code, end, report))
    return code


def _check(settings: Settings, options: argparse.Namespace, report: _Report) -> int:
    report.strict = options.strict
    series = series_of(settings, options)
    network = bootstrap.candle_network(settings) if options.repair else None
    with closing(bootstrap.for_command(settings, create=False)) as runtime:
        report.inspections = [
            inspect(runtime.series, item, settings.history_days, runtime.clock()) for item in series
        ]
        if network is not None and not report.complete:
            _repair(runtime, network, report, report.inspections)
        _publish(runtime, report.inspections)
    return DONE if report.complete else SOME_FAILED


def _repair(
    runtime: Runtime, network: Network, report: _Report, inspections: list[Inspection]
) -> None:
    """Repair one series after another; once the exchange is away, fetch nothing more."""
    away: UpstreamError | None = None
    with bootstrap.open_candle_source(
        runtime.settings, runtime.limiter_for, runtime.clock, runtime.host_clocks, network
    ) as source:
        for number, item in enumerate(inspections):
            name = str(item.series)
            try:
                inspections[number], trouble = repair(
                    runtime, source, item, strict=report.strict, away=away
                )
            except StoreError as error:  # the earlier inspections stay valid
                report.notes.append(f"{name} not repaired: {error}")
                return
            if trouble is not None:
                report.notes.append(f"{name} not repaired: {trouble}")
            if isinstance(trouble, AWAY):
                away = trouble


def _publish(runtime: Runtime, inspections: Sequence[Inspection]) -> None:
    for item in inspections:
        if not item.gaps:
            continue
        causes: Counter[str] = Counter()
        for gap in item.gaps:
            causes[gap.cause.value] += gap.count
        runtime.events.publish(
            GapDetected(
                item.series,
                item.gaps[0].first,
                item.gaps[-1].last,
                len(item.gaps),
                causes.total(),
                ", ".join(f"{cause} {count}" for cause, count in sorted(causes.items())),
            )
        )


def _heartbeat(code: int, report: _Report) -> None:
    """Log one line whatever happened: a silent monitor is itself a failure.

    If nothing was checked it has no numbers: a 0 would be a claim.
    """
    inspections = report.inspections
    if inspections is None:
        always().info("monitor_heartbeat", status="could_not_check", exit_code=code)
        return
    always().info(
        "monitor_heartbeat",
        status="complete" if report.complete else "incomplete",
        exit_code=code,
        series=len(inspections),
        gaps=sum(len(item.gaps) for item in inspections),
        missing=sum(item.missing for item in inspections),
        warm_up_missing=sum(item.warm_up_missing for item in inspections),
        wrong_averages=sum(len(item.wrong_averages) for item in inspections),
        stale=sum(item.stale for item in inspections),
        quarantined=sum(item.quarantined for item in inspections),
    )


def _show(report: _Report) -> None:
    if report.inspections is None:
        return
    output.table(_HEAD, [_row(item, strict=report.strict) for item in report.inspections])
    for item in report.inspections:
        name = str(item.series)
        for gap in item.gaps:
            period = _period(item, gap.first, gap.last)
            part = " before the served period" if gap.warm_up else ""
            output.line(f"{name} missing {period} ({gap.count}){part}: {gap.cause.value}")
        for span in item.wrong_averages:
            mend = how_to_run("monitor", "--repair")
            output.line(f"{name} wrong averages {_period(item, *span)}: run {mend}")
        if item.quarantined:
            records = "refusal" if item.quarantined == 1 else "refusals"
            output.line(
                f"{name} has {item.quarantined} {records} on record: {quarantine_request(item.series)}"
            )
        if item.newest is None:
            output.line(f"{name} has no candle yet: run {how_to_run('load')}")
        elif item.stale:
            update = how_to_run("update")
            output.line(f"{name} is stale: its newest candle is {iso(item.newest)}; run {update}")
    for note in report.notes:
        output.line(note)


def _row(item: Inspection, *, strict: bool) -> list[object]:
    values = (
        item.series.pair,
        item.series.interval,
        "complete" if item.complete(strict=strict) else "incomplete",
        item.stored,
        item.expected,
        item.missing,
        iso_or_none(item.newest),
        None if item.age is None else duration(item.age),
        iso_or_none(item.checked_at),
        None if item.checked_age is None else duration(item.checked_age),
    )
    return ["-" if value is None else value for value in values]


def _period(item: Inspection, first: int, last: int) -> str:
    """A range of buckets as ISO dates, with the time if a bucket is shorter than a day."""
    long = item.series.step < DAY
    ends = [iso(bucket) if long else iso(bucket)[:10] for bucket in (first, last)]
    return ends[0] if first == last else f"{ends[0]}..{ends[1]}"


def _summary(code: int, end: Ending, report: _Report) -> dict[str, Any]:
    """The JSON summary; without `series` if nothing was checked."""
    checked = (
        {}
        if report.inspections is None
        else {"series": [_as_json(i, report) for i in report.inspections]}
    )
    return {"command": COMMAND, "exit": code, **end.cause, **checked}


def _as_json(item: Inspection, report: _Report) -> dict[str, Any]:
    return {
        **item.series.named(),
        "first": iso(item.served.first),
        "last": iso(item.served.last),
        "expected": item.expected,
        "stored": item.stored,
        "missing": item.missing,
        "warm_up_missing": item.warm_up_missing,
        "complete": item.complete(strict=report.strict),
        "stale": item.stale,
        "newest": iso_or_none(item.newest),
        "age_seconds": item.age,
        "checked_at": iso_or_none(item.checked_at),
        "checked_age_seconds": item.checked_age,
        "gaps": [
            {
                "first": iso(gap.first),
                "last": iso(gap.last),
                "count": gap.count,
                "cause": gap.cause.value,
                "warm_up": gap.warm_up,
            }
            for gap in item.gaps
        ],
        "quarantined": item.quarantined,
        "wrong_averages": [[iso(span.first), iso(span.last)] for span in item.wrong_averages],
    }


if __name__ == "__main__":
    sys.exit(main())
