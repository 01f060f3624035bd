"""Serve the API with our own signal handling and deadlines."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from types import FrameType
from typing import Any, Final

import uvicorn

from app import bootstrap
from app.api.checks import THREAD_NAME
from app.api.clients import Clients
from app.api.streams import THREAD_NAME as STREAM_THREAD
from app.bootstrap import Runtime
from app.commands import command
from app.core import waits
from app.core.errors import ConfigurationError
from app.core.logging import structlog
from app.core.settings import Settings
from app.main import create_app
from app.protocol.http import protocol
from app.protocol.limits import Limits
from app.supervisor import Channel, Job, supervise

log = structlog.get_logger()

COMMAND = "serve"

OVERDUE: Final = 1
"""The exit code where a request did not end in time."""

GRACE: Final = 5
"""Seconds that requests in flight get to finish."""

KEEP_ALIVE: Final = 75
"""Seconds that an idle connection is kept: longer than AWS's load balancer (60) and nginx keep
theirs. A request on a connection that is just being closed is lost, so the side that sends requests
must be the one that closes."""

SWITCH_INTERVAL: Final = 0.0005
"""Seconds that a thread may keep the interpreter from another that wants it.

A request in the event loop waits for the interpreter several times, each time as long as this.
Python's own 0.005 is too long for that (decision 0021)."""

_OVERTIME: Final = 3.0
_WORKERS: Final = ("AnyIO worker", THREAD_NAME, STREAM_THREAD)
"""The names of the threads that answer requests begin so: plain route functions, health checks, the
watcher of streams."""
_BACKLOG: Final = 2_048
_SEND_BYTES: Final = 1_048_576
_SPREADS: Final = sys.platform == "linux"  # over the sockets of one address; others favour one
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - shown, not bound


def run(
    settings: Settings,
    *,
    build: Callable[[Settings], Runtime] = bootstrap.for_api,
    on_ready: Callable[[str], None] | None = None,
    grace: int = GRACE,
    drain: float = 0.0,
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    After the signal /readyz answers 503. `drain` seconds later no connection is accepted any more,
    and requests in flight get `grace` seconds. A second signal ends that wait. If a request still
    holds the process 3 s after that, the process ends at once with exit code 1.

    With WORKERS above 1, processes of their own answer (`app.supervisor`); for these `build` must
    be a function of a module. This process is theirs to stop, and does all else that is said here.

    `on_ready` gets the first base URL once connections are accepted. It runs on a thread of its
    own, so it may send requests to the server. Do not start a child process there that dies with
    the thread that started it. Call `run` on the main thread: signals arrive only there.

    Raises ConfigurationError or StoreError where it cannot start, CommandFailed where a worker
    cannot.
    """
    with listening(settings.host, settings.port) as listeners:
        bootstrap.announce_database(settings)
        urls = [_url(each) for each in listeners]

        def ready() -> None:
            for url in urls:
                log.info("server_ready", url=url)
            if on_ready is not None:
                threading.Thread(target=on_ready, args=[urls[0]], daemon=True).start()

        def stopping(number: int) -> None:
            name = signal.Signals(number).name
            log.info("server_stopping", signal=name, drain_s=drain, grace_s=grace)

        if settings.workers == 1:
            runtime = build(settings)
            server = _Server(settings, runtime, grace, drain, ready, stopping)
            code = server.serve_on(listeners)
        else:
            job = Job(settings, build, grace, drain)
            code = _supervised(job, listeners, ready, stopping)
    log.info("server_stopped")
    return code


def _supervised(
    job: Job,
    listeners: list[socket.socket],
    ready: Callable[[], None],
    stopping: Callable[[int], None],
) -> int:
    """Serve with several workers, each on sockets of its own at the addresses of `listeners`."""
    bind = _beside(listeners)
    sets = [bind() for _ in range(job.settings.workers)]
    # Where they are spread, a worker listens once it is ready: no connection waits for its start.
    if not _SPREADS:
        for each in chain.from_iterable(sets):
            each.listen(_BACKLOG)

    def close_ours() -> None:
        for each in listeners:
            each.close()

    def close_ours_and_tell(number: int) -> None:
        close_ours()
        stopping(number)

    if _SPREADS:
        close_ours()
    return supervise(job, sets, bind, ready=ready, stopping=close_ours_and_tell)


def work(job: Job, channel: Channel, listeners: list[socket.socket]) -> int:
    """Serve as one of several workers until the parent says so; returns the exit code.

    What a server logs of its start and its end is the parent's to log. Raises as `run`.
    """
    runtime = job.build(job.settings)
    server = _Server(
        job.settings, runtime, job.grace, job.drain, channel.ready, lambda _number: None
    )
    channel.call_at_stops(lambda: server.handle_exit(signal.SIGTERM, None))
    return server.serve_on(listeners)


class _Server(uvicorn.Server):
    """uvicorn with a readiness window, and an exit code of 0 after a signal."""

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        grace: int,
        drain: float,
        ready: Callable[[], None],
        stopping: Callable[[int], None],
    ) -> None:
        draining = threading.Event()
        key_of = Clients(settings.trusted_proxies).key_of
        super().__init__(
            uvicorn.Config(
                create_app(settings, lambda _settings: runtime, draining=draining),
                http=protocol(Limits.of(settings), key_of, draining),
                lifespan="on",
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=grace,
            )
        )
        self._draining = draining
        self._drain = drain
        self._ready = ready
        self._stopping = stopping
        self._signal: int | None = None
        self._leave_at: float | None = None
        self._last: list[asyncio.Task[None]] = []
        # A read on a thread cannot be cancelled, and could keep the process alive without end.
        self._overdue = threading.Timer(drain + grace + _OVERTIME, _leave_now)
        self._overdue.daemon = True

    def serve_on(self, listeners: list[socket.socket]) -> int:
        """Serve until a signal, and until what it has begun is done; returns the exit code."""
        try:
            with _short_pauses():
                self.run(sockets=listeners)
            # A read that did not finish in time still holds its thread; `_overdue` ends this wait.
            for thread in threading.enumerate():
                if thread.name.startswith(_WORKERS):
                    waits.join(thread)
        finally:
            self._overdue.cancel()
        if not any(task.cancelling() for task in self._last):
            return command.DONE
        _tell_overdue()
        return OVERDUE

    def _wait_tasks_to_complete(self) -> Coroutine[Any, Any, None]:
        # uvicorn cancels those that do not end in time, and does not tell.
        self._last = list(self.server_state.tasks)
        return super()._wait_tasks_to_complete()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:
            # uvicorn skips this after a second signal, and the application would end in a
            # traceback.
            await self.lifespan.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - theirs
        # Log nothing here: the signal may have interrupted a thread that holds the log's lock. And
        # do not call the base class: it would raise the signal again at the end.
        if self._signal is None:
            self._signal = sig
            self._draining.set()
        else:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self._signal is not None:
            if self._leave_at is None:
                self._stopping(self._signal)
                self._overdue.start()
                self._leave_at = time.monotonic() + self._drain
            self.should_exit |= time.monotonic() >= self._leave_at
        return await super().on_tick(counter)


@contextmanager
def _short_pauses() -> Iterator[None]:
    """Keep short what stops the event loop while a server runs: other threads, and the collector.

    The garbage collector walks over all objects every now and then, and nothing else runs
    meanwhile. What the start has made stays, so it is left out (decision 0021).
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


def _tell_overdue() -> None:
    log.error("server_overdue", problem="A request did not finish in time and is cut off.")


def _leave_now() -> None:
    _tell_overdue()
    os._exit(OVERDUE)


@contextmanager
def listening(hosts: str, port: int) -> Iterator[list[socket.socket]]:
    """Sockets that listen at all of these addresses, which the setting HOST names, at one port.

    Raises ConfigurationError, which names the address and whose cause is an OSError.
    """
    addresses = hosts.split(",")
    # An IPv4 address beside `::` has a socket of its own.
    both_families = all(":" in host for host in addresses)
    with ExitStack() as opened:
        listeners: list[socket.socket] = []
        for host in addresses:
            try:
                listener = opened.enter_context(listen(host, port, both_families=both_families))
            except OSError as error:
                raise ConfigurationError(
                    f"HOST={host}, PORT={port} cannot be listened on ({error.strerror or error}): "
                    "choose another address with --host and --port, or with HOST and PORT"
                ) from error
            listeners.append(listener)
            port = listener.getsockname()[1]
        yield listeners


def listen(host: str, port: int, *, both_families: bool = True) -> socket.socket:
    """A socket that listens at this address; `::` serves IPv4, too, with `both_families`.

    Raises OSError.
    """
    try:
        family, _, _, _, socket_address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except UnicodeError as error:
        raise socket.gaierror(str(error)) from error  # no host can have such a name
    listener = socket.create_server(
        socket_address,
        family=family,
        backlog=_BACKLOG,
        dualstack_ipv6=both_families and socket_address[0] == "::" and socket.has_dualstack_ipv6(),
    )
    _take_whole_replies(listener)
    return listener


def _take_whole_replies(listener: socket.socket) -> None:
    # Connections inherit this buffer size. The system then takes a whole reply at once, up to its
    # own limit (0.2 MB by default on Linux), and delivers it even if this process is killed right
    # after.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)


def _beside(listeners: Sequence[socket.socket]) -> Callable[[], list[socket.socket]]:
    """What binds a set of sockets to the addresses of these, for one of several workers.

    Where the system spreads connections, they are new ones; close `listeners` once there is a set,
    so that none wait there. Elsewhere they are the same again: whichever worker is first accepts.
    """
    if not _SPREADS:
        return lambda: [each.dup() for each in listeners]
    for each in listeners:
        # Not before it is bound: another program at this address would then be no error.
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    addresses = [(each.family, each.getsockname(), _ipv6_only(each)) for each in listeners]
    return lambda: [_bound(*address) for address in addresses]


def _ipv6_only(listener: socket.socket) -> int:
    ipv6 = listener.family == socket.AF_INET6
    return listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) if ipv6 else 0


def _bound(family: int, address: Any, ipv6_only: int) -> socket.socket:
    """A socket that shares this address with others like it, and does not listen yet."""
    shared = socket.socket(family)
    try:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            shared.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, ipv6_only)
        _take_whole_replies(shared)
        shared.bind(address)
    except OSError:
        shared.close()
        raise
    return shared


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add --host and --port, the address to listen on, to a command that serves."""
    parser.add_argument("--host", help="addresses to listen on (setting HOST)")
    parser.add_argument("--port", help="port to listen on, 0 for any free one (setting PORT)")


def address(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that these options give in place of the environment's."""
    values = {"host": options.host, "port": options.port}
    return {name: value for name, value in values.items() if value is not None}


def main(argv: Sequence[str] | None = None, prog: str = "python -m app.serve") -> int:
    """Serve as the settings and the command line say; returns the exit code."""
    parser = command.plain_parser(prog, "Serve the API.")
    add_address(parser)
    seconds = command.whole_number(0, 3_600)
    parser.add_argument(
        "--grace", type=seconds, default=GRACE, help="seconds for requests in flight (5)"
    )
    parser.add_argument(
        "--drain",
        type=seconds,
        default=0,
        help="seconds of answering 503 on /readyz before connections are refused (0)",
    )
    return command.run(
        COMMAND,
        parser,
        argv,
        lambda settings, options: run(settings, grace=options.grace, drain=options.drain),
        overrides=address,
        own_signals=True,
    )


if __name__ == "__main__":
    sys.exit(main())
