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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from app import bootstrap
from app.api.corked import Corked
from app.bootstrap import Runtime
from app.commands import command
from app.core import waits
from app.core.errors import ConfigurationError
from app.core.settings import Settings
from app.main import create_app

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

A request in the event loop waits for the interpreter several times, each time as long as this. With
Python's 0.005 the p99 beside one busy thread is 7 ms, with this 3 (decision 0021)."""

_OVERTIME: Final = 3.0
_WORKER: Final = "AnyIO worker"  # the name of the threads that run plain route functions
_BACKLOG: Final = 2_048
_SEND_BYTES: Final = 1_048_576
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

    `on_ready` gets the first base URL once connections are accepted. It runs on a thread of its
    own, so it may send requests to the server. Do not start a child process there that dies with
    the thread that started it. Call `run` on the main thread: signals arrive only there.

    Raises ConfigurationError or StoreError where it cannot start.
    """
    with listening(settings.host, settings.port) as listeners:
        runtime = build(settings)
        draining = threading.Event()
        config = uvicorn.Config(
            create_app(settings, lambda _settings: runtime, draining=draining),
            http=_Protocol,
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
        server = _Server(config, draining, drain, [_url(each) for each in listeners], on_ready)
        try:
            with _short_pauses():
                server.run(sockets=listeners)
            # A read that did not finish in time still holds its thread; `overdue` ends this wait.
            for thread in threading.enumerate():
                if thread.name.startswith(_WORKER):
                    waits.join(thread)
        finally:
            server.overdue.cancel()
    log.info("server_stopped")
    return command.DONE


class _Server(uvicorn.Server):
    """uvicorn with a readiness window, and an exit code of 0 after a signal."""

    def __init__(
        self,
        config: uvicorn.Config,
        draining: threading.Event,
        drain: float,
        urls: Sequence[str],
        on_ready: Callable[[str], None] | None,
    ) -> None:
        super().__init__(config)
        self._draining = draining
        self._drain = drain
        self._urls = urls
        self._on_ready = on_ready
        self._signal: int | None = None
        self._leave_at: float | None = None
        # A read on a thread cannot be cancelled, and could keep the process alive without end.
        deadline = drain + (config.timeout_graceful_shutdown or 0) + _OVERTIME
        self.overdue = threading.Timer(deadline, _leave_now)
        self.overdue.daemon = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        for url in self._urls:
            log.info("server_ready", url=url)
        if self._on_ready is not None:
            threading.Thread(target=self._on_ready, args=[self._urls[0]], daemon=True).start()

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
                self._leave_at = self._begin_leaving(self._signal)
            self.should_exit |= time.monotonic() >= self._leave_at
        return await super().on_tick(counter)

    def _begin_leaving(self, sig: int) -> float:
        grace = self.config.timeout_graceful_shutdown
        log.info(
            "server_stopping", signal=signal.Signals(sig).name, drain_s=self._drain, grace_s=grace
        )
        self.overdue.start()
        return time.monotonic() + self._drain


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type] # one of two, as installed
    """uvicorn's HTTP protocol, with replies that leave in one piece."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(Corked(transport, asyncio.get_running_loop()))


@contextmanager
def _short_pauses() -> Iterator[None]:
    """Keep short what stops the event loop while a server runs: other threads, and the collector.

    The garbage collector walks over all objects every now and then, and nothing else runs
    meanwhile. What the start has made stays, so it is left out: 85 ms become 2 (decision 0021).
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


def _leave_now() -> None:
    log.error("server_overdue", problem="A request did not finish in time and is cut off.")
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
    # Connections inherit this buffer size. The system then takes a whole reply at once, up to its
    # own limit (0.2 MB by default on Linux), and delivers it even if this process is killed right
    # after.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
    return listener


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
