"""The only door to httpx: one JSON question to one host, within bounds, repeated where it helps.

httpx's own time-outs bound a single socket operation, so a host that sends one byte a second keeps a
request alive for ever. Here every request runs in a thread of its own: at the deadline its caller
shuts the connection down, which ends the thread, and goes on. The same holds where nothing can be
shut down yet, as while a name is being resolved: the thread is left to find out by itself.
"""

from __future__ import annotations

import ipaddress
import random as standard_random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx
import structlog

from app.core.errors import (
    ConfigurationError,
    UpstreamError,
    UpstreamNonsense,
    UpstreamUnavailable,
)
from app.core.ports import Clock
from app.sources.body import ENCODINGS, BodyCut, BodyRefused, read_body
from app.sources.gate import Gate
from app.sources.replies import (
    ErrorReader,
    RawReply,
    Reply,
    judge,
    printable,
    read_common_error,
)
from app.sources.retry import RetryPolicy, decide

USER_AGENT: Final = "mms-api/0.1.0 (+self-hosted)"

# No keep-alive: the gate spaces requests about a second apart, so a kept connection gains little,
# and only a new connection is announced to the trace below, which needs its socket.
_HEADERS: Final = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json",
    "Accept-Encoding": ENCODINGS,
    "Connection": "close",
}
_NO_KEEP_ALIVE: Final = httpx.Limits(max_connections=None, max_keepalive_connections=0)
_ERROR_BODY_LIMIT: Final = 65_536
_LAST_MOMENT: Final = 1.0  # seconds for a thread to end after its connection was shut down


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long one request may take and how much it may bring.

    `connect` and `read` bound one socket operation, `deadline` the whole request; seconds.
    `decoded` is the longest unpacked body, in bytes.
    """

    connect: float = 3.0
    read: float = 5.0
    deadline: float = 15.0
    decoded: int = 8_000_000


class UpstreamHttp:
    """Asks one host under `base_url` for JSON. Safe to share between threads; close it at the end.

    `gate` is the one that every caller of this host shares. `transport` replaces the network in
    tests.
    """

    def __init__(
        self,
        base_url: str,
        gate: Gate,
        *,
        clock: Clock = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = standard_random.random,
        policy: RetryPolicy = RetryPolicy(),
        bounds: Bounds = Bounds(),
        read_error: ErrorReader = read_common_error,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._gate = gate
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._random = random
        self._policy = policy
        self._bounds = bounds
        self._read_error = read_error
        try:
            url = httpx.URL(self._base_url)
            self._client = httpx.Client(
                headers=_HEADERS,
                timeout=httpx.Timeout(bounds.read, connect=bounds.connect),
                limits=_NO_KEEP_ALIVE,
                follow_redirects=False,
                # Proxies and certificates from the environment are what operators expect. A host on
                # this machine (the sandbox, a test) is never behind a proxy, whatever NO_PROXY says.
                trust_env=not _is_loopback(url.host),
                transport=transport,
            )
        except (httpx.InvalidURL, ValueError, ImportError, OSError) as error:
            raise ConfigurationError(
                f"No connection to {base_url!r} can be set up: {error}. Check the base URL, and "
                "HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE in the environment."
            ) from error
        self.host: Final = f"{url.host}:{url.port}" if url.port else url.host

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def get_json(self, path: str, params: Mapping[str, str | int]) -> Reply:
        """GET `{base}/{path}` with `params`, repeating what is temporary as the policy says.

        Blocks for at most the policy's `total` seconds, the wait at the gate included. Raises
        UpstreamUnavailable, UpstreamBlocked, UpstreamRejected or UpstreamNonsense.
        """
        started = self._monotonic()
        attempt = 0
        while True:
            attempt += 1
            self._gate.enter(self._policy.total - (self._monotonic() - started))
            left = self._policy.total - (self._monotonic() - started)
            try:
                return self._ask(path, params, min(self._bounds.deadline, left))
            except UpstreamError as error:
                if isinstance(error, UpstreamUnavailable) and error.retry_after:
                    self._gate.close_for(error.retry_after)
                elapsed = self._monotonic() - started
                delay = decide(self._policy, error, attempt, elapsed, self._random)
                if delay is None:
                    raise
                structlog.get_logger().warning(
                    "upstream_retry",
                    host=self.host,
                    attempt=attempt,
                    delay=round(delay, 3),
                    reason=str(error),
                )
            self._sleep(delay)

    def _ask(self, path: str, params: Mapping[str, str | int], limit: float) -> Reply:
        exchange = _Exchange(self._client, f"{self._base_url}/{path}", params, self._bounds.decoded)
        try:
            raw = exchange.run(limit)
        except (httpx.TransportError, OSError) as error:
            raise _translated(error, self.host) from error
        return judge(raw, self.host, self._read_error, self._clock())


class _Exchange:
    """One request and its reply, in a thread of its own that its caller can abandon."""

    def __init__(
        self, client: httpx.Client, url: str, params: Mapping[str, str | int], decoded: int
    ) -> None:
        self._client = client
        self._url = url
        self._params = params
        self._decoded = decoded
        self._done = threading.Event()
        self._outcome: RawReply | BaseException | None = None
        self._lock = threading.Lock()
        self._abandoned = False
        # A duplicate of the connection's descriptor, ours to close: shutting it down ends the
        # connection whatever has become of httpx's own socket (TLS replaces it), and its number
        # cannot have been given to somebody else meanwhile.
        self._socket: socket.socket | None = None

    def run(self, limit: float) -> RawReply:
        """Return the reply, or raise what httpx raised, or httpx.ReadTimeout after `limit` s."""
        thread = threading.Thread(target=self._work, name="upstream-request", daemon=True)
        thread.start()
        try:
            self._done.wait(limit)
        finally:
            # Also where the wait itself was interrupted, as by Ctrl-C.
            shut = self._abandon()
        if self._outcome is None or shut:
            thread.join(_LAST_MOMENT if shut else 0)
            raise httpx.ReadTimeout(f"no complete reply within {limit:.1f} s")
        thread.join()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def _work(self) -> None:
        try:
            self._outcome = self._exchange()
        except BaseException as error:  # noqa: BLE001 - handed over: the caller's thread raises it
            self._outcome = error
        finally:
            with self._lock:
                if self._socket is not None:
                    self._socket.close()
                    self._socket = None
            self._done.set()
