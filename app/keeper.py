"""Keeps a database current beside a server that is already answering: the loaders, as child processes.

At start the initial loader fills what is missing; then, shortly after each candle closes, the
incremental loader runs. When the exchange is away it says so once in plain words, goes on trying at
growing distances, and says once when it is back. Loads run in child processes, so that their work
and their memory are not the server's.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

import structlog

from app.core.market import Interval
from app.core.ports import Clock

INITIAL: Final = "app.workers.initial_loader"
INCREMENTAL: Final = "app.workers.incremental_loader"
COLLECTOR: Final = "app.workers.price_collector"
MONITOR: Final = "app.monitoring.gap_monitor"

AFTER_CLOSE: Final = 30.0
"""Seconds after a candle's close at which it is fetched; a tenth of a short interval at most."""

FIRST_RETRY: Final = 60.0
LAST_RETRY: Final = 900.0
"""Seconds between tries while the exchange is away: doubling from the first to the last."""

STOP_WITHIN: Final = 5.0
"""Seconds that a running load gets to end after a stop was asked for."""


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended: its exit code, and the JSON summary it printed, None where it printed none."""

    code: int
    summary: Mapping[str, Any] | None

    @property
    def interrupted(self) -> bool:
        """Whether a Ctrl-C ended it. That reaches all of a terminal's processes, and is no failure: the
        order to stop follows."""
        return self.code in (-signal.SIGINT, 128 + signal.SIGINT)


def next_run(now: float, interval: Interval, failures: int) -> float:
    """When to load next: after the interval's next close, or sooner to retry after `failures`."""
    if failures > 0:
        return now + min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 10))
    delay = min(AFTER_CLOSE, interval.seconds / 10)
    due = interval.floor(now) + delay
    return due if due > now else due + interval.seconds


class Keeper(threading.Thread):
    """The thread that runs the loaders. `stop` ends it and the child it may have running.

    `run_child(module)` runs one loader to its end; `say` shows a line to a person; `loaded` is called
    once, after the first load that succeeded; `wait(seconds)` returns True as soon as it is to stop.
    """

    def __init__(
        self,
        intervals: Sequence[Interval],
        children: Children,
        *,
        clock: Clock,
        say: Callable[[str], None],
        loaded: Callable[[], None] = lambda: None,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        super().__init__(name="keeper")
        self._interval = min(intervals, key=lambda interval: interval.seconds)
        self._children = children
        self._clock = clock
        self._say = say
        self._loaded = loaded
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait

    def run(self) -> None:
        """Load, wait, load again, until told to stop."""
        failures, away, greeted = 0, False, False
        while not self._stopped.is_set():
            end = self._children.run(INCREMENTAL if greeted else INITIAL)
            if self._stopped.is_set():
                return
            if end.interrupted or (end.code == 0 and _left_to_another(end.summary)):
                # It may have died at it: its lease ends by itself, and then this one's turn comes.
                if self._wait(FIRST_RETRY):
                    return
                continue
            if end.code == 0:
                if away:
                    self._say("The exchange answers again; what was missed has been loaded.")
                if not greeted:
                    greeted = True
                    self._loaded()
                failures, away = 0, False
            else:
                failures += 1
                structlog.get_logger().warning("scheduled_load_failed", exit_code=end.code)
                if not away and (reason := _why_away(end.summary)):
                    away = True
                    self._say(_plain_words(reason))
            due = next_run(self._clock(), self._interval, failures)
            if self._wait(max(0.0, due - self._clock())):
                return

    def stop(self) -> None:
        """End the thread; returns when it and its child are gone."""
        self._stopped.set()
        self._children.stop()
        if self.is_alive():
            self.join()


class Companion(threading.Thread):
    """A thread that keeps one command running beside a server, and starts it again when it ends."""

    def __init__(
        self,
        module: str,
        children: Children,
        *,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        super().__init__(name=module)
        self._module = module
        self._children = children
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait

    def run(self) -> None:
        """Run the command until told to stop."""
        while not self._stopped.is_set():
            end = self._children.run(self._module)
            if self._stopped.is_set():
                return
            if not end.interrupted:
                tell = structlog.get_logger()
                say = tell.warning if end.code else tell.info  # 0: somebody stopped it
                say("companion_ended", command=self._module, exit_code=end.code)
            if self._wait(FIRST_RETRY):
                return

    def stop(self) -> None:
        """End the thread; returns when it and its child are gone."""
        self._stopped.set()
        self._children.stop()
        if self.is_alive():
            self.join()


class Children:
    """Runs one loader at a time as a child process with the given environment."""

    def __init__(self, environment: Mapping[str, str], log: TextIO | None = None) -> None:
        self._environment = dict(environment)
        self._log = log
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self, module: str, *arguments: str) -> ChildEnd:
        """Run `python -m module --json`, with more arguments where given, to its end."""
        with self._lock:
            if self._stopped:
                return ChildEnd(-1, None)
            child = subprocess.Popen(  # noqa: S603 - our own modules, by our own interpreter
                [sys.executable, "-m", module, "--json", *arguments],
                stdout=subprocess.PIPE,
                stderr=self._log,
                stdin=subprocess.DEVNULL,
                text=True,
                env=self._environment,
            )
            self._running = child
        with child:
            printed, _ = child.communicate()
        with self._lock:
            self._running = None
        return ChildEnd(child.returncode, _last_json(printed))

    def stop(self) -> None:
        """Terminate the child that may be running, and start no other."""
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


def _last_json(printed: str) -> Mapping[str, Any] | None:
    """The summary that a command prints as its last line with --json."""
    lines = printed.strip().splitlines()
    try:
        summary = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return summary if isinstance(summary, dict) else None


def _left_to_another(summary: Mapping[str, Any] | None) -> bool:
    """Whether a series was not loaded because another loader holds its lease."""
    return any(series.get("status") == "taken" for series in (summary or {}).get("series", []))


def _why_away(summary: Mapping[str, Any] | None) -> str | None:
    """Why the exchange could not be reached, None where that was not the trouble."""
    for series in (summary or {}).get("series", []):
        if series.get("unreachable"):
            return str(series.get("reason"))
    return None


def _plain_words(reason: str) -> str:
    return (
        f"The exchange could not be asked: {reason}\n"
        "What is stored is served meanwhile, and the loader keeps trying.\n"
        "To see the service work without a network: make demo"
    )
