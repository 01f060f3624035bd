"""Several API processes on one address: they are started, watched, replaced and stopped together.

The parent opens the sockets and answers no request. A worker is `python -m WORKER`. It gets its
`Job` on standard input, its listening sockets by their numbers, and one end of a channel, over
which it says that it is ready or why it cannot start. Over the same channel the parent passes on
each signal. The workers themselves are deaf to SIGINT and SIGTERM: Ctrl-C and service managers send
those to every process of a group, and a second one would end the wait for requests in flight.
However the parent ends, kill -9 included, the system closes its end of the channel, and the worker
stops as after a signal.
"""

from __future__ import annotations

import pickle
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from app.bootstrap import Runtime
from app.commands import command
from app.core import waits
from app.core.logging import structlog
from app.core.settings import Settings

log = structlog.get_logger()

WORKER: Final = "app.processes.api_worker"

STEADY: Final = 60.0
"""A worker that dies within this time, in seconds, has died soon: the next one has to wait."""

LAST_PAUSE: Final = 60.0
"""The longest wait before a replacement, in seconds; the first is none, then 1, doubling."""

_READY: Final = b"ready\n"
_STOP: Final = b"."
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

Sockets = list[socket.socket]


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker does. `build` must be a function of a module, which goes by its name."""

    settings: Settings
    build: Callable[[Settings], Runtime]
    grace: int
    drain: float


def supervise(
    job: Job,
    sockets: Sequence[Sockets],
    bind: Callable[[], Sockets],
    *,
    ready: Callable[[], None],
    stopping: Callable[[int], None],
) -> int:
    """Run one worker on each of these sets of sockets until a signal; returns the exit code.

    The first is started alone, because it may have to migrate the database. `ready` is called once,
    when all of them are; `stopping` with the number of the first signal. A worker that died is
    replaced on the same sockets. If it dies again soon, they are closed meanwhile: connections
    would wait there, while other workers can take them. `bind` then makes new ones, which
    do not listen before the worker does. Raises CommandFailed where a worker cannot start and no
    other serves; before `ready` others do not count.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        with selectors.DefaultSelector() as channels:
            return _Supervisor(job, sockets, bind, channels, ready, stopping).run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pause_after(deaths: int) -> float:
    """The seconds before a replacement, after that many deaths in a row, each of them soon."""
    return 0.0 if deaths == 1 else min(LAST_PAUSE, 2.0 ** min(deaths - 2, 10))


@dataclass(frozen=True, slots=True)
class _End:
    """How a worker ended: whether it had served, and why it ended, as far as it could say.

    `code` is its exit code; negative is the signal that ended it. `lifetime` is in seconds.
    """

    reason: str
    code: int = command.SOME_FAILED
    lifetime: float = 0.0
    served: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        """What the log says of it."""
        reason = {"reason": self.reason} if self.reason else {}
        return {"exit_code": self.code, **reason}

    def failure(self) -> command.CommandFailed:
        """What it is for the whole server, where nobody else serves."""
        return command.CommandFailed(
            self.code if self.code > 0 else command.SOME_FAILED,
            self.reason or f"a worker ended before it was ready (exit code {self.code})",
        )


class _Worker:
    """A process, and our end of its channel. `said` is what came over it."""

    def __init__(self, job: Job, sockets: Sockets) -> None:
        """Start it. Raises OSError where the system cannot."""
        self._started_at = time.monotonic()
        self.said = b""
        self.channel, its_end = socket.socketpair()
        with its_end:
            numbers = [each.fileno() for each in (its_end, *sockets)]
            # A process has the mask of the thread that started it, so no signal can be too early.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                self._child = subprocess.Popen(  # noqa: S603 - our own module and interpreter
                    [sys.executable, "-m", WORKER], stdin=subprocess.PIPE, pass_fds=numbers
                )
            except OSError:
                self.channel.close()
                raise
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        assert self._child.stdin is not None
        with suppress(BrokenPipeError), self._child.stdin as order:
            order.write(pickle.dumps((job, numbers)))

    @property
    def is_ready(self) -> bool:
        return self.said.startswith(_READY)

    def hear(self) -> bool:
        """Read what there is to read; whether it goes on."""
        part = _received(self.channel, 65_536)
        self.said += part
        return part != b""

    def stop(self) -> None:
        """Pass a signal on. Where it does not serve yet, end it: there is nothing to finish."""
        if not self.is_ready:
            with suppress(OSError):  # nothing more has come
                self.said += self.channel.recv(len(_READY), socket.MSG_DONTWAIT)
        if self.is_ready:
            with suppress(OSError):  # it has just ended
                self.channel.send(_STOP)
        else:
            self._child.kill()

    def ended(self) -> _End:
        """How it ended, once its channel is closed."""
        self.channel.close()
        return _End(
            reason=self.said.removeprefix(_READY).decode(),
            code=self._child.wait(),
            lifetime=time.monotonic() - self._started_at,
            served=self.is_ready,
        )


class _Place:
    """Where one worker runs, and after its death another."""

    def __init__(self, number: int, sockets: Sockets) -> None:
        self.number = number
        self.sockets = sockets
        self.worker: _Worker | None = None
        self.due = time.monotonic()
        self._deaths = 0

    @property
    def is_ready(self) -> bool:
        return self.worker is not None and self.worker.is_ready

    def close(self) -> None:
        """Close our copies of its sockets."""
        for each in self.sockets:
            each.close()
        self.sockets = []

    def replace_after(self, lifetime: float) -> float:
        """Decide when the next worker is due; returns the seconds until then."""
        self._deaths = 1 if lifetime >= STEADY else self._deaths + 1
        pause = pause_after(self._deaths)
        if pause:
            self.close()
        self.due = time.monotonic() + pause
        return pause


class _Supervisor:
    def __init__(
        self,
        job: Job,
        sockets: Sequence[Sockets],
        bind: Callable[[], Sockets],
        channels: selectors.BaseSelector,
        ready: Callable[[], None],
        stopping: Callable[[int], None],
    ) -> None:
        self._job = job
        self._bind = bind
        self._channels = channels
        self._ready = ready
        self._stopping = stopping
        self._places = [_Place(number, each) for number, each in enumerate(sockets, start=1)]
        self._serving = False
        self._leaving = False
        self._code = command.DONE
        self._failure: command.CommandFailed | None = None

    def run(self) -> int:
        signals = waits.StopSignals()
        passed_on = 0
        while not self._leaving or any(place.worker for place in self._places):
            arrived = signals.arrived[passed_on:]
            if arrived and passed_on == 0:
                self._stopping(arrived[0])
            for _ in arrived:
                self._stop()
            passed_on += len(arrived)
            if not self._leaving:
                self._start_those_due()
            for key, _ in self._channels.select(waits.SLICE):
                self._hear(key.data)
        if self._failure is not None:
            raise self._failure
        return self._code

    def _stop(self) -> None:
        self._leaving = True
        for place in self._places:
            # At once: a socket that we alone hold would take connections for nobody.
            place.close()
            if place.worker is not None:
                place.worker.stop()

    def _start_those_due(self) -> None:
        alone = not self._serving and not self._places[0].is_ready
        for place in self._places[:1] if alone else self._places:
            if place.worker is None and place.due <= time.monotonic():
                self._start(place)

    def _start(self, place: _Place) -> None:
        try:
            place.sockets = place.sockets or self._bind()
            place.worker = _Worker(self._job, place.sockets)
        except OSError as error:
            self._judge(place, _End(reason=f"could not start: {error.strerror or error}"))
            return
        self._channels.register(place.worker.channel, selectors.EVENT_READ, place)

    def _hear(self, place: _Place) -> None:
        worker = place.worker
        assert worker is not None
        if not worker.hear():
            self._channels.unregister(worker.channel)
            place.worker = None
            self._judge(place, worker.ended())
        elif not self._serving and all(each.is_ready for each in self._places):
            self._serving = True
            self._ready()

    def _judge(self, place: _Place, end: _End) -> None:
        """Decide what follows from the end of a worker; say it once."""
        others = self._serving and any(each.is_ready for each in self._places)
        if self._leaving:
            if end.served and end.code != command.DONE:
                self._code = command.SOME_FAILED
                if end.code < 0:
                    log.error("worker_died", worker=place.number, **end.fields)
        elif end.served or others:
            pause = place.replace_after(end.lifetime)
            write = log.error if pause else log.warning
            write("worker_died", worker=place.number, **end.fields, replaced_in_s=pause)
        else:
            self._failure = end.failure()
            self._stop()


class Channel:
    """A worker's end: what it says, and what it is told."""

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=number)

    def ready(self) -> None:
        """Say that connections are accepted."""
        self._say(_READY)

    def failed(self, reason: str) -> None:
        """Say why this worker ends."""
        self._say(reason.encode(errors="replace"))

    def call_at_stops(self, stop: Callable[[], None]) -> None:
        """Call `stop` on another thread for each signal, or once where the parent has ended."""
        threading.Thread(target=self._listen, args=[stop], name="parent-watch", daemon=True).start()

    def _listen(self, stop: Callable[[], None]) -> None:
        told = False
        while _received(self._socket, 1):
            told = True
            stop()
        if not told:
            stop()

    def _say(self, text: bytes) -> None:
        with suppress(OSError):  # the parent has ended, which `_listen` notices
            self._socket.sendall(text)


def received_job() -> tuple[Job, Channel, Sockets]:
    """What the parent has handed over to this worker."""
    with open(0, "rb", closefd=False) as order:
        job, (channel, *listeners) = pickle.loads(order.read())  # noqa: S301 - from our parent
    return job, Channel(channel), [socket.socket(fileno=number) for number in listeners]


def _received(channel: socket.socket, most: int) -> bytes:
    """What comes next; nothing where the other end is closed."""
    try:
        return channel.recv(most)
    except ConnectionError:  # closed with something unread
        return b""
