"""Keep a database current beside a server that already answers: the loaders, as child processes.

At start the initial loader loads what is missing. Then the incremental loader runs shortly after
each candle closes, and once more some minutes later. When the exchange is away, the keeper says so
once in plain words, retries at each close at the latest, and says once when it is back. Loads run
in child processes, so that their work and their memory are not the server's. They end with the
server, however it ends (`app.processes.child`).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.core import waits
from app.core.logging import structlog
from app.core.market import Interval
from app.core.ports import Clock

INITIAL: Final = "app.workers.initial_loader"
INCREMENTAL: Final = "app.workers.incremental_loader"
COLLECTOR: Final = "app.workers.price_collector"
MONITOR: Final = "app.monitoring.gap_monitor"

AFTER_CLOSE: Final = 30.0
"""Seconds between a candle's close and its load; at most a tenth of the interval."""

SECOND_LOOK: Final = 300.0
"""Seconds between a candle's close and a second load, where the interval is longer than that. A
candle that no other follows does not count at once (`app.domain.candles.UNCERTAIN`), and a cache
may hold back the reply itself."""

FIRST_RETRY: Final = 60.0
LAST_RETRY: Final = 900.0
"""Seconds between attempts after failures: doubling from the first to the last."""

STOP_WITHIN: Final = 5.0
"""Seconds that a running load gets to end after a stop."""


_ENDED_BY_SIGNAL: Final = [
    code for number in (signal.SIGINT, signal.SIGTERM) for code in (-number, 128 + number)
]


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended: its exit code, and the JSON summary that it printed, if any."""

    code: int
    summary: Mapping[str, Any] | None

    @property
    def interrupted(self) -> bool:
        """Whether a signal that reaches all processes of a terminal or a service ended it.

        Ctrl-C does, and systemd's stop. It is no failure: the order to stop follows.
        """
        return self.code in _ENDED_BY_SIGNAL


def next_run(now: float, interval: Interval, failures: int) -> float:
    """When to load next, in unix seconds: after a close, or sooner after `failures`."""
    delays = [min(AFTER_CLOSE, interval.seconds / 10)]
    if interval.seconds > SECOND_LOOK:
        delays.append(SECOND_LOOK)
    close = interval.floor(now)
    delays.append(interval.seconds + delays[0])
    due = next(close + delay for delay in delays if close + delay > now)
    if failures == 0:
        return due
    return min(due, now + min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 10)))


class Beside(threading.Thread, ABC):
    """A thread that runs one child after another. `stop` ends it and a running child.

    `wait(seconds)` returns True as soon as the thread must stop.
    """

    def __init__(
        self, name: str, children: Children, wait: Callable[[float], bool] | None = None
    ) -> None:
        super().__init__(name=name)
        self._children = children
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait

    @abstractmethod
    def _next(self) -> Sequence[str]:
        """The module to run, and its arguments."""

    @abstractmethod
    def _after(self, end: ChildEnd) -> float:
        """Judge the end of that child; returns the seconds until the next one."""

    def run(self) -> None:
        """Run a child, wait, run the next, until `stop`."""
        while not self._stopped.is_set():
            try:
                end = self._children.run(*self._next())
                if self._stopped.is_set():
                    return
                pause = self._after(end)
            except Exception:  # noqa: BLE001 - nothing else would restart the thread
                structlog.get_logger().exception("keeper_crashed", thread=self.name)
                pause = FIRST_RETRY
            if self._wait(pause):
                return

    def stop(self) -> None:
        """End the thread; returns when it and its child are gone."""
        self._stopped.set()
        self._children.stop()
        if self.is_alive():
            waits.join(self)


class Keeper(Beside):
    """The thread that runs the loaders.

    `say` shows a line to a person; `hint` is the last line of what it says of an exchange that is
    away. `loaded` is called once, after the first load that succeeded for at least one series.
    """

    def __init__(
        self,
        intervals: Sequence[Interval],
        children: Children,
        *,
        clock: Clock,
        say: Callable[[str], None],
        hint: str = "",
        loaded: Callable[[], None] = lambda: None,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        super().__init__("keeper", children, wait)
        self._interval = min(intervals, key=lambda interval: interval.seconds)
        self._clock = clock
        self._say = say
        self._hint = hint
        self._loaded = loaded
        self._failures = 0
        self._away = False
        self._greeted = False

    def _next(self) -> Sequence[str]:
        # A series that the first load missed needs no second initial load: the incremental loader
        # loads its whole history, and does not look through the history of all others each time.
        return [INCREMENTAL if self._greeted else INITIAL]

    def _after(self, end: ChildEnd) -> float:
        if end.interrupted:
            return FIRST_RETRY
        series = _series(end)
        ends = [each.get("status") for each in series]
        reasons = [str(each.get("reason")) for each in series if each.get("unreachable")]
        if end.code == 0:
            # Come back soon for a series that another loader has taken: that loader may have died,
            # and its lease expires.
            self._failures, tries = 0, int("taken" in ends)
        else:
            self._failures = tries = self._failures + 1
            structlog.get_logger().warning("scheduled_load_failed", exit_code=end.code)
        if reasons and not self._away:
            self._away = True
            self._say(f"{_plain_words(reasons[0])}\n{self._hint}".rstrip())
        elif self._away and "ok" in ends and not reasons:
            self._away = False
            loaded = "; what was missed has been loaded" if end.code == 0 else ""
            self._say(f"The exchange answers again{loaded}.")
        if "ok" in ends and not self._greeted:
            self._greeted = True
            self._loaded()
        now = self._clock()
        return max(0.0, next_run(now, self._interval, tries) - now)


class Periodic(Beside):
    """A thread that runs one command again and again, with a pause, whatever its exit code."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        children: Children,
        *,
        every: float,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        super().__init__(module, children, wait)
        self._command = [module, *arguments]
        self._every = every

    def _next(self) -> Sequence[str]:
        return self._command

    def _after(self, end: ChildEnd) -> float:
        if not end.interrupted:
            log = structlog.get_logger()
            write = log.warning if end.code else log.info
            write("scheduled_run_finished", command=self._command[0], exit_code=end.code)
        return self._every


class Children:
    """Runs one command at a time as a child process, with `environment`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self, module: str, *arguments: str) -> ChildEnd:
        """Run `python -m module --json` with `arguments` to its end.

        Raises OSError where the system cannot start it, for example without memory.
        """
        with self._lock:
            if self._stopped:
                return ChildEnd(-1, None)
            child = subprocess.Popen(  # noqa: S603 - our own modules, by our own interpreter
                [sys.executable, "-m", "app.processes.child", module, "--json", *arguments],
                stdout=subprocess.PIPE,
                stdin=subprocess.PIPE,
                text=True,
                env=self._environment,
            )
            self._running = child
        # Not `communicate`: it closes the child's input, which tells the child that we have ended.
        with child:
            assert child.stdout is not None
            printed = child.stdout.read()
        with self._lock:
            self._running = None
        return ChildEnd(child.returncode, _summary(printed))

    def stop(self) -> None:
        """Terminate a running child, and start no other."""
        with self._lock:
            self._stopped = True
            child = self._running
        if child is None:
            return
        child.terminate()
        try:
            child.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            child.kill()


def _summary(printed: str) -> Mapping[str, Any] | None:
    """The summary that a command with --json prints, if any."""
    try:
        summary = json.loads(printed)
    except ValueError:
        return None
    return summary if isinstance(summary, dict) else None


def _series(end: ChildEnd) -> Sequence[Mapping[str, Any]]:
    """The result of each series, as the loaders print it."""
    series: Sequence[Mapping[str, Any]] = (end.summary or {}).get("series", [])
    return series


def _plain_words(reason: str) -> str:
    return (
        f"The exchange could not be asked: {reason}\n"
        "What is stored is served meanwhile, and the loader keeps trying."
    )
