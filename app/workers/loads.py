"""Loading many series side by side: what the initial and the incremental loader share.

A series that fails neither undoes nor stops another. The host's rate holds for all of them together;
threads only keep one series' database work from holding up another's request. A stop waits for what
is being committed and for nothing else: a thread that waits for the exchange is left behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final

import structlog

from app.bootstrap import Runtime
from app.core.errors import (
    MmsError,
    StoreError,
    TakenByAnother,
    UpstreamBlocked,
    UpstreamError,
    UpstreamUnavailable,
)
from app.core.market import Interval, Pair
from app.events.types import LoadFailed
from app.services.leasing import leased
from app.services.loading import LoadReport, OnPage, Publish
from app.utils.days import iso
from app.workers import output
from app.workers.run import DONE, SOME_FAILED

SIDE_BY_SIDE: Final = 8

STOP_WITHIN: Final = 2.0
"""Seconds that loads under way get to end after a stop was asked for. What they commit they finish;
what they still wait for then is given up, with their leases."""

Work = Callable[[Pair, Interval, OnPage], LoadReport]
"""Loads one series, telling of each page that was answered."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the load of one series ended: a report, or the error that ended it.

    TakenByAnother is an end without a problem: another loader is loading the series.
    """

    pair: Pair
    interval: Interval
    report: LoadReport | None = None
    error: MmsError | None = None

    @property
    def problem(self) -> str | None:
        """Why the series is not loaded, as a sentence; None where it is.

        An exchange that answers but has not one candle is a problem too: an empty success would hide
        a pair that was misspelt or delisted, or a clock that is years off.
        """
        if self.taken:
            return None
        if self.error is not None:
            return str(self.error)
        if self.report is None or self.report.newest is None:
            return (
                f"the exchange answers, but has no candle of {self.pair} {self.interval} in the "
                "period that was asked: check the pair's name, HISTORY_DAYS and this machine's clock"
            )
        return None

    @property
    def taken(self) -> bool:
        """Whether another loader is at it."""
        return isinstance(self.error, TakenByAnother)

    @property
    def unreachable(self) -> bool:
        """Whether the exchange did not answer, or refuses this client."""
        return isinstance(self.error, UpstreamUnavailable | UpstreamBlocked)


def load_all(
    made: Runtime, series: Sequence[tuple[Pair, Interval]], totals: Sequence[int], work: Work
) -> list[Outcome]:
    """Do `work` for each series under its lease; `totals` are the buckets each will ask for."""
    names = [f"{pair} {interval}" for pair, interval in series]
    stopped = threading.Event()
    # What is known before the lease is asked for: whatever is newer afterwards, another has loaded.
    checked = [made.series.state(*item).checked_at for item in series]
    with output.progress(dict(zip(names, totals, strict=True))) as advance:

        def one(number: int) -> Outcome:
            name, (pair, interval) = names[number], series[number]

            def on_page(buckets: int) -> None:
                if stopped.is_set():
                    raise _Stopped
                advance(name, buckets)
                renew()

            try:
                with leased(made.leases, _lease(name), made.clock) as renew:
                    if made.series.state(pair, interval).checked_at != checked[number]:
                        raise TakenByAnother(f"{name}: another loader has just loaded it")
                    report = work(pair, interval, on_page)
            except MmsError as error:
                return Outcome(pair, interval, error=error)
            return Outcome(pair, interval, report)

        ends = _side_by_side(one, len(series), stopped)
        try:
            return [_told(end.result(), made.events.publish) for end in ends]
        except BaseException:
            stopped.set()
            _, left = wait(ends, STOP_WITHIN)
            with suppress(StoreError):  # it is going to end by itself
                for name, end in zip(names, ends, strict=True):
                    if end in left:
                        made.leases.release(_lease(name))
            raise


class _Stopped(BaseException):
    """The command was told to stop. Like an interrupt, nothing on the way may catch it."""


def _lease(name: str) -> str:
    return f"load {name}"


def _side_by_side(
    one: Callable[[int], Outcome], count: int, stopped: threading.Event
) -> list[Future[Outcome]]:
    """Call `one` for each number below `count`, several at a time; none begins once `stopped` is set.

    The threads are daemons, unlike an executor's: the process may end while one of them still waits
    for the exchange.
    """
    ends: list[Future[Outcome]] = [Future() for _ in range(count)]
    numbers: SimpleQueue[int] = SimpleQueue()
    for number in range(count):
        numbers.put(number)

    def run() -> None:
        with suppress(Empty):
            while True:
                number = numbers.get_nowait()
                try:
                    if stopped.is_set():
                        raise _Stopped
                    ends[number].set_result(one(number))
                except BaseException as error:  # noqa: BLE001 - handed over: `result` raises it
                    ends[number].set_exception(error)

    for _ in range(min(SIDE_BY_SIDE, count)):
        threading.Thread(target=run, name="load", daemon=True).start()
    return ends


def _told(outcome: Outcome, publish: Publish) -> Outcome:
    """Say how the load ended, in the log and as an event."""
    log = structlog.get_logger().bind(pair=str(outcome.pair), interval=str(outcome.interval))
    report = outcome.report
    if outcome.taken:
        log.info("load_left_to_another", reason=str(outcome.error))
        return outcome
    if outcome.problem is not None or report is None:
        log.error("load_failed", error=_kind(outcome), reason=outcome.problem)
        publish(LoadFailed(outcome.pair, outcome.interval, _kind(outcome), outcome.problem or ""))
        return outcome
    for refused in report.refused:
        bucket = None if refused.bucket is None else iso(refused.bucket)
        log.warning("candle_refused", bucket=bucket, reason=refused.reason)
    log.info(
        "load_finished",
        inserted=report.inserted,
        revised=report.revised,
        absent=report.absent,
        refused=len(report.refused),
        averages=report.averages,
        revision=report.revision,
    )
    return outcome


def _kind(outcome: Outcome) -> str:
    return type(outcome.error).__name__ if outcome.error is not None else "NoCandles"


def conclude(command: str, made: Runtime, outcomes: Sequence[Outcome], *, as_json: bool) -> int:
    """Print the summary and return the exit code: 0 all series loaded, 1 some failed."""
    failed = [outcome for outcome in outcomes if outcome.problem is not None]
    code = SOME_FAILED if failed else DONE
    output.table(_HEAD, [_row(outcome) for outcome in outcomes])
    for outcome in failed:
        output.line(f"{outcome.pair} {outcome.interval} failed: {outcome.problem}")
    for outcome in outcomes:
        if outcome.taken:
            output.line(str(outcome.error))
    if as_json:
        made.events.close()  # nothing more is published, and what is counted is complete
        output.json_line(
            {
                "command": command,
                "exit": code,
                "series": [_as_json(item) for item in outcomes],
                "events": made.event_counts(),
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
    report = outcome.report
    if report is None:
        status = "taken" if outcome.taken else "failed"
        return [outcome.pair, outcome.interval, status, *["-"] * 7]
    return [
        outcome.pair,
        outcome.interval,
        "ok" if outcome.problem is None else "failed",
        report.inserted,
        report.revised,
        report.unchanged,
        report.absent,
        len(report.refused),
        report.averages,
        "-" if report.newest is None else iso(report.newest),
    ]


def _as_json(outcome: Outcome) -> dict[str, Any]:
    named = dict(zip(_HEAD, _row(outcome), strict=True))
    named |= {"pair": str(outcome.pair), "interval": str(outcome.interval)}
    if outcome.problem is not None or outcome.taken:
        named = {key: value for key, value in named.items() if value != "-"}
        named |= {
            "error": _kind(outcome),
            "reason": outcome.problem or str(outcome.error),
            "host": outcome.error.host if isinstance(outcome.error, UpstreamError) else None,
            "unreachable": outcome.unreachable,
        }
    return named
