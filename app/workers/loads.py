"""Load many series in parallel, for the initial and the incremental loader.

A series that fails neither undoes nor stops another. All share the host's rate limiter.
Threads only keep one series' database work from delaying another's request. A stop waits for
running commits and nothing else: a thread that waits for the exchange is abandoned.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Final

from app import bootstrap
from app.bootstrap import Runtime
from app.commands import output
from app.commands.series import series_of
from app.core import waits
from app.core.errors import MmsError, StoreError, TakenByAnother
from app.core.logging import structlog
from app.core.market import Series
from app.core.ports import Leases, SeriesStore
from app.core.settings import Settings
from app.domain.times import duration
from app.services.leasing import leased, load_lease
from app.services.loading import LoadReport, OnPage, Plan, load
from app.workers.outcomes import Outcome, announce, conclude

SIDE_BY_SIDE: Final = 8

STOP_WITHIN: Final = 1.0
"""Seconds that running loads get to end after a stop. Commits are finished; what still waits
then is abandoned, and its lease is released."""

PATIENCE: Final = 300.0
"""Seconds that a load waits for another process's lease; longer than a dead one's lease lasts."""

_ASK_EVERY: Final = 0.5

Planner = Callable[[SeriesStore, Series, float], Plan]
"""Plan the load of one series at a unix time: `plan_load` with the command's options."""

Work = Callable[[Plan, OnPage], LoadReport]
"""Carry out a plan, and call `OnPage` for each page received."""


def load_selected(
    command: str,
    settings: Settings,
    options: argparse.Namespace,
    planner: Planner,
    carry_out: Callable[..., LoadReport] = load,
) -> int:
    """Load the selected series and print how that ended; return the exit code.

    `carry_out` is `load`, or a function that takes the same arguments.
    """
    selection = series_of(settings, options)
    network = bootstrap.candle_network(settings)
    with (
        closing(bootstrap.for_command(settings)) as runtime,
        bootstrap.open_candle_source(
            settings, runtime.limiter_for, runtime.clock, runtime.host_clocks, network
        ) as source,
    ):

        def work(plan: Plan, on_page: OnPage) -> LoadReport:
            return carry_out(
                plan,
                runtime.series,
                source,
                runtime.clock,
                on_page=on_page,
                publish=runtime.events.publish,
            )

        ends = load_all(runtime, selection, planner, work)
        return conclude(command, runtime, ends, as_json=options.json)


def load_all(
    runtime: Runtime,
    selection: Sequence[Series],
    planner: Planner,
    work: Work,
    *,
    patience: float = PATIENCE,
) -> list[Outcome]:
    """Do `work` for each series under its lease, with a plan that is made under that lease.

    If another process holds the lease, wait up to `patience` seconds. If that process loads the
    series to its newest candle and the plan fills no gaps, nothing is left to do. If it ends
    without that, this process loads the series.
    """
    names = [str(series) for series in selection]
    stopped = threading.Event()
    leases = UntilStopped(runtime.leases, stopped)

    def planned(series: Series) -> Plan:
        return planner(runtime.series, series, runtime.clock())

    # Read before the lease is taken: anything newer afterwards was loaded by another process.
    checked = [runtime.series.state(series).checked_at for series in selection]
    totals = [planned(series).buckets(runtime.clock()) for series in selection]
    with output.progress(dict(zip(names, totals, strict=True))) as advance:

        def one(number: int) -> Outcome:
            name, series = names[number], selection[number]
            until = time.monotonic() + patience

            def on_page(buckets: int) -> None:
                if stopped.is_set():
                    raise Stopped
                advance(name, buckets)
                renew()

            def loaded() -> bool:
                return runtime.series.state(series).checked_at != checked[number]

            waiting = False
            while True:
                try:
                    with leased(leases, load_lease(series), runtime.clock) as renew:
                        plan = planned(series)
                        if loaded() and not plan.gaps:
                            return _taken(series)
                        return Outcome(series, work(plan, on_page))
                except TakenByAnother:
                    if loaded() and not planned(series).gaps:
                        return _taken(series)
                except MmsError as error:
                    return Outcome(series, error=error)
                left = until - time.monotonic()
                if left <= 0:
                    return _given_up(series, patience)
                if not waiting:
                    structlog.get_logger().info("load_waits_for_another", task=name, seconds=left)
                    waiting = True
                if stopped.wait(min(left, _ASK_EVERY)):
                    raise Stopped

        ends = _side_by_side(one, len(selection), stopped)
        try:
            return [announce(_result(end), runtime.events.publish) for end in ends]
        except BaseException:
            leases.stop()
            _, unfinished = wait(ends, STOP_WITHIN)
            with suppress(StoreError):  # the lease expires by itself
                for series, end in zip(selection, ends, strict=True):
                    if end in unfinished:
                        runtime.leases.release(load_lease(series))
            raise


class Stopped(BaseException):
    """The command must stop. As with an interrupt, no handler on the way may catch it."""


class UntilStopped:
    """Leases that cannot be taken or renewed once `stop` has returned.

    Otherwise an abandoned load could take its lease again after the stop released it.
    """

    def __init__(self, leases: Leases, stopped: threading.Event) -> None:
        self._leases = leases
        self._stopped = stopped
        self._taking = threading.Lock()

    def take(self, name: str, now: float) -> str | None:
        """See Leases.take."""
        with self._taking:
            if self._stopped.is_set():
                raise Stopped
            return self._leases.take(name, now)

    def release(self, name: str) -> None:
        """See Leases.release."""
        self._leases.release(name)

    def stop(self) -> None:
        """Set `stopped`, and wait at most STOP_WITHIN for a lease that is being taken."""
        self._stopped.set()
        if self._taking.acquire(timeout=STOP_WITHIN):
            self._taking.release()


def _result(end: Future[Outcome]) -> Outcome:
    waits.until(lambda seconds: wait([end], seconds).done)
    return end.result()


def _taken(series: Series) -> Outcome:
    error = TakenByAnother(f"{series}: another loader has just loaded it")
    return Outcome(series, error=error, taken=True)


def _given_up(series: Series, patience: float) -> Outcome:
    error = TakenByAnother(
        f"another process has held the lease for more than {duration(round(patience))}, and the "
        "requested candles are not all stored yet: run this again when that process has ended"
    )
    return Outcome(series, error=error)


def _side_by_side(
    one: Callable[[int], Outcome], count: int, stopped: threading.Event
) -> list[Future[Outcome]]:
    """Call `one` for each number below `count` in parallel; start none once `stopped` is set.

    The threads are daemons, unlike an executor's: the process may end while one still waits for the
    exchange.
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
                        raise Stopped
                    ends[number].set_result(one(number))
                except BaseException as error:  # noqa: BLE001 - handed over: `result` raises it
                    ends[number].set_exception(error)

    for _ in range(min(SIDE_BY_SIDE, count)):
        threading.Thread(target=run, name="load", daemon=True).start()
    return ends
