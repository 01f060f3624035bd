"""Loading many series side by side: what the initial and the incremental loader share.

A series that fails neither undoes nor stops another. The host's rate holds for all of them together;
threads only keep one series' database work from holding up another's request. A stop waits for what
is being committed and for nothing else: a thread that waits for the exchange is left behind.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

import structlog

from app import bootstrap
from app.bootstrap import Runtime
from app.commands import output
from app.commands.series import runtime, series_of
from app.core import waits
from app.core.errors import MmsError, StoreError, TakenByAnother
from app.core.market import Series
from app.core.ports import Leases, SeriesStore
from app.core.settings import Settings
from app.services.leasing import leased
from app.services.loading import LoadReport, OnPage, Plan, load
from app.workers.outcomes import Outcome, conclude, told

SIDE_BY_SIDE: Final = 8

STOP_WITHIN: Final = 1.0
"""Seconds that loads under way get to end after a stop was asked for. What they commit they finish;
what they still wait for then is given up, with their leases."""

PATIENCE: Final = 300.0
"""Seconds that a load waits for another process at its series; longer than the lease of a dead one lasts."""

_ASK_EVERY: Final = 0.5

Planner = Callable[[SeriesStore, Series, float], Plan]
"""Plans the load of one series at a unix time; `plan_load` with what the command's options say."""

Work = Callable[[Plan, OnPage], LoadReport]
"""Carries out a plan, telling of each page that was answered."""


def load_selected(
    command: str, settings: Settings, options: argparse.Namespace, planner: Planner
) -> int:
    """Load the series that the options leave, and say how it ended. Returns the exit code."""
    selection = series_of(settings, options)
    with (
        runtime(settings) as made,
        bootstrap.open_candle_source(settings, made.limiter_for) as source,
    ):

        def work(plan: Plan, on_page: OnPage) -> LoadReport:
            return load(
                plan,
                made.series,
                source,
                made.clock,
                on_page=on_page,
                publish=made.events.publish,
            )

        ends = load_all(made, selection, planner, work)
        return conclude(command, made, ends, as_json=options.json)


def load_all(
    made: Runtime,
    selection: Sequence[Series],
    planner: Planner,
    work: Work,
    *,
    patience: float = PATIENCE,
) -> list[Outcome]:
    """Do `work` for each series under its lease, by a plan that is made under it.

    Where another process is at a series, wait `patience` seconds for it. Once it has asked the exchange
    up to its newest candle, and the plan fills no gaps, there is nothing left to do; where it ends
    without that, it is this one's turn.
    """
    names = [str(series) for series in selection]
    stopped = threading.Event()
    leases = UntilStopped(made.leases, stopped)

    def planned(series: Series) -> Plan:
        return planner(made.series, series, made.clock())

    # What is known before the lease is asked for: whatever is newer afterwards, another has loaded.
    checked = [made.series.state(series).checked_at for series in selection]
    totals = [planned(series).buckets(made.clock()) for series in selection]
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
                checked_at = made.series.state(series).checked_at
                return checked_at != checked[number] and not planned(series).fills_gaps

            waits = False
            while True:
                try:
                    with leased(leases, _lease(name), made.clock) as renew:
                        if loaded():
                            return _taken(series)
                        return Outcome(series, work(planned(series), on_page))
                except TakenByAnother:
                    if loaded():
                        return _taken(series)
                except MmsError as error:
                    return Outcome(series, error=error)
                left = until - time.monotonic()
                if left <= 0:
                    return _given_up(series, patience)
                if not waits:
                    structlog.get_logger().info("load_waits_for_another", task=name, seconds=left)
                    waits = True
                if stopped.wait(min(left, _ASK_EVERY)):
                    raise Stopped

        ends = _side_by_side(one, len(selection), stopped)
        try:
            return [told(_result(end), made.events.publish) for end in ends]
        except BaseException:
            leases.stop()
            _, left = wait(ends, STOP_WITHIN)
            with suppress(StoreError):  # it is going to end by itself
                for name, end in zip(names, ends, strict=True):
                    if end in left:
                        made.leases.release(_lease(name))
            raise


class Stopped(BaseException):
    """The command was told to stop. Like an interrupt, nothing on the way may catch it."""


class UntilStopped:
    """Leases of which none is taken, or renewed, once `stop` has returned.

    Otherwise a load that is left behind could take its lease again after the stop has released it.
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
        """Set `stopped`; wait for a lease that is being taken, unless the database does not answer."""
        self._stopped.set()
        if self._taking.acquire(timeout=STOP_WITHIN):
            self._taking.release()


def _result(end: Future[Outcome]) -> Outcome:
    waits.until(lambda seconds: wait([end], seconds).done)
    return end.result()


def _taken(series: Series) -> Outcome:
    said = TakenByAnother(f"{series}: another loader has just loaded it")
    return Outcome(series, error=said, taken=True)


def _given_up(series: Series, patience: float) -> Outcome:
    said = TakenByAnother(
        f"another process has been at it for more than {patience:.0f} s, and what was asked for is not "
        "all there yet: run this again when that one has ended"
    )
    return Outcome(series, error=said)


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
                        raise Stopped
                    ends[number].set_result(one(number))
                except BaseException as error:  # noqa: BLE001 - handed over: `result` raises it
                    ends[number].set_exception(error)

    for _ in range(min(SIDE_BY_SIDE, count)):
        threading.Thread(target=run, name="load", daemon=True).start()
    return ends
