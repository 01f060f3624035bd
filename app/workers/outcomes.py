"""Report how the loads of many series ended: log, summary, JSON and exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.bootstrap import Runtime
from app.commands import output
from app.commands.command import DONE, NOT_STARTED, SOME_FAILED
from app.core.errors import AWAY, ConfigurationError, MmsError, UpstreamError
from app.core.logging import structlog
from app.core.market import RefusedCandle, Series
from app.domain.times import iso, iso_or_none
from app.events.types import LoadFailed, Publish
from app.services.comparing import quarantine_request
from app.services.loading import LoadReport


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the load of one series ended: a report, or the error that ended it.

    `taken` is no problem: another loader did the work while this one waited. `error` says so.
    """

    series: Series
    report: LoadReport | None = None
    error: MmsError | None = None
    taken: bool = False

    @property
    def problem(self) -> str | None:
        """Why the series is not loaded, as a sentence; None if it is.

        An answer without any candle is a problem too: an empty success would hide a misspelt or
        delisted pair, or a clock that is years off. So are refused newest candles: the series would
        look current.
        """
        if self.taken:
            return None
        if self.error is not None:
            return str(self.error)
        series, report = self.series, self.report
        if report is not None and report.newer_refused:
            where = f"{quarantine_request(series)} has the reasons"
            if report.newest is None:
                refused = _counted(report.refused)
                return f"every candle received for {series} was refused ({refused}): {where}"
            refused = _counted(report.newer_refused)
            return (
                f"the newest candles of {series} were refused ({refused}): the series ends with "
                f"{iso(report.newest)}; {where}"
            )
        if report is None or report.newest is None:
            return (
                f"the exchange answers, but has no closed candle of {series} in the requested "
                "period: check the pair's name and this machine's clock; a pair that has just been "
                "listed has its first candle when that has closed"
            )
        return None

    @property
    def kind(self) -> str:
        """The problem's name for machines."""
        if self.error is not None:
            return type(self.error).__name__
        refused = self.report is not None and self.report.newer_refused
        return "CandlesRefused" if refused else "NoCandles"

    @property
    def unreachable(self) -> bool:
        """Whether the exchange did not answer, or refuses this client."""
        return isinstance(self.error, AWAY)


def _counted(refused: Sequence[RefusedCandle]) -> str:
    return f"{len(refused)}, the first because: {refused[0].reason.rstrip('.')}"


def announce(outcome: Outcome, publish: Publish) -> Outcome:
    """Log how the load ended, and publish a failure as an event; return the outcome."""
    log = structlog.get_logger().bind(**outcome.series.named())
    report, problem = outcome.report, outcome.problem
    if outcome.taken:
        log.info("load_left_to_another", reason=str(outcome.error))
        return outcome
    refused = report.refused if report is not None else ()
    if refused:
        log.warning("candles_not_used", count=len(refused), first=refused[0].reason)
    if report is not None and report.without_volume:
        log.warning("candles_without_volume", count=report.without_volume)
    if problem is not None or report is None:
        log.error("load_failed", error=outcome.kind, reason=problem)
        publish(LoadFailed(outcome.series, outcome.kind, problem or ""))
        return outcome
    log.info(
        "load_finished",
        inserted=report.inserted,
        revised=report.revised,
        absent=report.absent,
        refused=len(refused),
        without_volume=report.without_volume,
        averages=report.averages,
        revision=report.revision,
    )
    return outcome


def conclude(command: str, runtime: Runtime, outcomes: Sequence[Outcome], *, as_json: bool) -> int:
    """Print the summary and return the exit code: 0 all series loaded, 1 some failed.

    Where a setting kept every series from being loaded, it is 2.
    """
    failed = [outcome for outcome in outcomes if outcome.problem is not None]
    code = SOME_FAILED if failed else DONE
    if failed and all(isinstance(outcome.error, ConfigurationError) for outcome in outcomes):
        code = NOT_STARTED
    output.table(_HEAD, [_row(outcome) for outcome in outcomes])
    for outcome in outcomes:
        if outcome.report is not None and outcome.report.without_volume:
            output.line(
                f"{outcome.series}: {outcome.report.without_volume} candles came without a usable "
                f"volume, and are used: {quarantine_request(outcome.series)} has the reasons"
            )
    for outcome in failed:
        output.line(f"{outcome.series} failed: {outcome.problem}")
    for outcome in outcomes:
        if outcome.taken:
            output.line(str(outcome.error))
    if as_json:
        runtime.events.close()  # nothing more is published: the counts are final
        output.json_line(
            {
                "command": command,
                "exit": code,
                "series": [_as_json(item) for item in outcomes],
                "events": runtime.events.counts(),
            }
        )
    return code


_HEAD: Final = (
    "pair",
    "interval",
    "status",
    "inserted",
    "revised",
    "unchanged",
    "absent",
    "refused",
    "averages",
    "newest",
)


def _row(outcome: Outcome) -> list[object]:
    series, report = outcome.series, outcome.report
    if report is None:
        status = "taken" if outcome.taken else "failed"
        return [series.pair, series.interval, status, *["-"] * 7]
    return [
        series.pair,
        series.interval,
        "ok" if outcome.problem is None else "failed",
        report.inserted,
        report.revised,
        report.unchanged,
        report.absent,
        len(report.refused),
        report.averages,
        iso_or_none(report.newest) or "-",
    ]


def _as_json(outcome: Outcome) -> dict[str, Any]:
    record = dict(zip(_HEAD, _row(outcome), strict=True))
    record |= outcome.series.named()
    if outcome.report is not None:
        record["without_volume"] = outcome.report.without_volume
    if outcome.problem is not None or outcome.taken:
        record = {key: value for key, value in record.items() if value != "-"}
        record |= {
            "error": outcome.kind,
            "reason": outcome.problem or str(outcome.error),
            "host": outcome.error.host if isinstance(outcome.error, UpstreamError) else None,
            "unreachable": outcome.unreachable,
        }
    return record
