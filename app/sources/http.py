"""The only door to httpx: one JSON request to one host, within bounds, retried where it helps."""

from __future__ import annotations

import ipaddress
import random as standard_random
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Self, TypeVar

import httpx
import structlog

from app import __version__
from app.core import waits
from app.core.errors import (
    ConfigurationError,
    UpstreamError,
    UpstreamNonsense,
    UpstreamUnavailable,
)
from app.core.ports import Clock, RateLimiter
from app.sources.replies import (
    ErrorReader,
    RawReply,
    Reply,
    judge,
    printable,
    read_common_error,
)
from app.sources.retry import RetryPolicy, decide

ENCODINGS: Final = "gzip"
"""What requests offer in `Accept-Encoding`, and all that `read_body` decompresses."""

USER_AGENT: Final = f"mms-api/{__version__} (+self-hosted)"

# No keep-alive: the rate limiter spaces requests about a second apart, so a kept connection gains
# little. And the deadline gets its socket from a trace that httpx calls for new connections only.
_HEADERS: Final = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json",
    "Accept-Encoding": ENCODINGS,
    "Connection": "close",
}
_NO_KEEP_ALIVE: Final = httpx.Limits(max_connections=None, max_keepalive_connections=0)


_T = TypeVar("_T")

Hold = Callable[[socket.socket], None]
"""Takes a connection as soon as it is open. Raises Expired where it came after the deadline."""

_LAST_MOMENT: Final = 1.0
"""Seconds for a thread to end once its connection is shut down; it takes a millisecond."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long one request may take and how much it may bring.

    `connect` and `read` bound one socket operation, `deadline` the whole request; seconds. `body`
    is the longest body in bytes, compressed and decompressed. It also bounds memory: parsed JSON
    can take 40 times the size of its text. The longest reply we ask for has about 80,000 bytes.
    """

    connect: float = 3.0
    read: float = 5.0
    deadline: float = 15.0
    body: int = 1_000_000


_POLICY: Final = RetryPolicy()
_BOUNDS: Final = Bounds()


class UpstreamHttp:
    """Asks the host under `base_url` for JSON. Safe to share between threads; close it at the end.

    `limiter` is the rate limiter that all callers of this host share. `secrets` are headers by
    name, such as an API key's, in ASCII: every request carries them; no error and no log repeats
    their values. `transport` replaces the network in tests. Raises ConfigurationError where the URL
    does not allow a client.
    """

    def __init__(
        self,
        base_url: str,
        limiter: RateLimiter,
        *,
        secrets: Mapping[str, str] | None = None,
        read_error: ErrorReader = read_common_error,
        policy: RetryPolicy = _POLICY,
        bounds: Bounds = _BOUNDS,
        clock: Clock = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = waits.sleep,
        random: Callable[[], float] = standard_random.random,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._limiter = limiter
        self._secrets = [value.encode("ascii") for value in (secrets or {}).values() if value]
        self._read_error = read_error
        self._policy = policy
        self._bounds = bounds
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._random = random
        try:
            url = httpx.URL(self._base_url)
            self._client = httpx.Client(
                headers={**_HEADERS, **(secrets or {})},
                timeout=httpx.Timeout(bounds.read, connect=bounds.connect),
                limits=_NO_KEEP_ALIVE,
                follow_redirects=False,
                # Operators expect proxies and certificates from the environment. But a host on this
                # machine (the sandbox, a test) is never behind a proxy, whatever NO_PROXY says.
                trust_env=not _is_loopback(url.host),
                transport=transport,
            )
        except (httpx.InvalidURL, ValueError, ImportError, OSError) as error:
            # A message about a URL may repeat part of it, and so a password.
            reason = str(error) if isinstance(error, ImportError | OSError) else "a URL is unusable"
            raise ConfigurationError(
                f"No client can be made for the base URL ({reason}): check the base URL, and "
                "HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE in the environment"
            ) from None
        self._host = url.netloc.decode("ascii")

    @property
    def host(self) -> str:
        """The host, with its port where that is not the usual one."""
        return self._host

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def get_json(self, path: str, params: Mapping[str, str | int]) -> Reply:
        """GET `{base}/{path}` with `params`; retry temporary failures as the policy says.

        Blocks for at most the policy's `total` seconds, waits for the rate limiter included. Raises
        UpstreamUnavailable, UpstreamBlocked, UpstreamRejected or UpstreamNonsense, and what the
        rate limiter raises.
        """
        started = self._monotonic()
        attempt = 0
        while True:
            attempt += 1
            self._limiter.enter(self._policy.latest - (self._monotonic() - started))
            left = self._policy.total - (self._monotonic() - started)
            try:
                return self._ask(path, params, min(self._bounds.deadline, left))
            except UpstreamUnavailable as error:
                if error.retry_after:
                    self._limiter.close_for(error.retry_after)
                elapsed = self._monotonic() - started
                delay = decide(self._policy, error, attempt, elapsed, self._random)
                if delay is None:
                    raise
                reason = str(error)
            structlog.get_logger().warning(
                "upstream_retry",
                host=self._host,
                attempt=attempt,
                delay=round(delay, 3),
                reason=reason,
            )
            self._sleep(delay)

    def _ask(self, path: str, params: Mapping[str, str | int], limit: float) -> Reply:
        url = f"{self._base_url}/{path}"
        try:
            raw = run_within(limit, lambda hold: self._exchange(url, params, hold))
        # InvalidURL: httpx reads a `Location`. UnicodeError: the name cannot be a host's.
        except (httpx.TransportError, httpx.InvalidURL, UnicodeError, OSError, Expired) as error:
            raise _translated(error, self._host) from error
        now = self._clock()
        with suppress(UpstreamError):  # it may repeat a key: the next error must not chain it
            return judge(raw, self._host, self._read_error, now)
        for secret in self._secrets:
            raw = raw if raw.body is None else replace(raw, body=raw.body.replace(secret, b"***"))
        return judge(raw, self._host, self._read_error, now)

    def _exchange(self, url: str, params: Mapping[str, str | int], hold: Hold) -> RawReply:
        def trace(event: str, info: Mapping[str, Any]) -> None:
            if event == "connection.connect_tcp.complete":
                stream = info["return_value"]
                try:
                    hold(stream.get_extra_info("socket"))
                except (Expired, OSError):
                    stream.close()  # httpx does not own it yet
                    raise

        with self._client.stream(
            "GET", url, params=dict(params), extensions={"trace": trace}
        ) as response:
            return _received(response, self._bounds.body)


def _received(response: httpx.Response, limit: int) -> RawReply:
    """Read the body. A bad one is noted, not raised: the status may say all that matters."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    body, problem, cut = None, "", False
    try:
        body = read_body(response.iter_raw(), headers.get("content-encoding", ""), limit)
    except BodyRefused as error:
        problem = str(error)
    except BodyCut as error:
        problem, cut = str(error), True
    except httpx.TransportError as error:
        problem, cut = _reason(error), True
    return RawReply(
        status=response.status_code,
        headers=headers,
        body=body,
        delimited="content-length" in headers or "transfer-encoding" in headers,
        problem=problem,
        cut=cut,
    )


def _translated(error: Exception, host: str) -> UpstreamError:
    """What a transport's failure means to the caller."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UpstreamNonsense(
                f"{host} cannot prove that it is {host} ({printable(cause.verify_message)}): check "
                "this machine's clock, and SSL_CERT_FILE where a proxy replaces certificates.",
                host=host,
            )
        cause = cause.__cause__ or cause.__context__
    return UpstreamUnavailable(
        f"{host} cannot be reached now ({_reason(error)}): check the network, or try again later.",
        host=host,
    )


def _reason(error: Exception) -> str:
    """The reason as text; some time-outs come without any."""
    return printable(str(error)) or type(error).__name__


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class BodyRefused(ValueError):
    """The body is too long or damaged, or has an encoding that the request did not offer."""


class BodyCut(ValueError):
    """The body ends before its compressed form does."""


def read_body(pieces: Iterable[bytes], encoding: str, limit: int) -> bytes:
    """Join `pieces` and decompress them as the `Content-Encoding` header says.

    Neither the compressed nor the decompressed body may exceed `limit` bytes. Memory never holds
    more than that and one piece. Raises BodyRefused and BodyCut.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        inflate = None
    elif name in ("gzip", "x-gzip"):
        inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    else:
        raise BodyRefused(f"its body is packed as {name[:40]!r}, but only {ENCODINGS} was offered")
    body = bytearray()
    received = 0
    try:
        for piece in pieces:
            received += len(piece)
            if inflate is None:
                body += piece
            else:
                # One byte above the limit is enough to see that the limit is exceeded; the rest
                # of the body does not matter then.
                body += inflate.decompress(piece, limit + 1 - len(body))
                if inflate.unused_data:
                    raise BodyRefused("something follows the end of its gzip body")
            if max(received, len(body)) > limit:
                raise BodyRefused(f"its body is longer than {limit} bytes")
    except zlib.error as error:
        raise BodyRefused(f"its gzip body is damaged ({error})") from error
    if inflate is not None and not inflate.eof:
        raise BodyCut("its gzip body ends too early")
    return bytes(body)


class Expired(Exception):
    """The deadline passed before the work was done."""


def run_within(limit: float, work: Callable[[Hold], _T]) -> _T:
    """Return what `work` returns, or raise what it raises, or Expired after `limit` seconds."""
    done: Future[_T] = Future()
    lock = threading.Lock()
    expired = False
    # Duplicates of the connections' descriptors, which are ours to close. Shutting one down ends
    # the connection even where TLS has replaced the original, and no other thread's socket can have
    # got its number meanwhile.
    connections: list[socket.socket] = []

    def hold(connection: socket.socket) -> None:
        with lock:
            if expired:
                raise Expired("the connection came after the deadline")
            connections.append(connection.dup())

    def worked() -> _T:
        try:
            return work(hold)
        finally:
            with lock:
                while connections:
                    connections.pop().close()

    def run() -> None:
        try:
            done.set_result(worked())
        except BaseException as error:  # noqa: BLE001 - handed over: the caller's thread raises it
            done.set_exception(error)

    thread = threading.Thread(target=run, name="upstream-exchange", daemon=True)
    thread.start()
    try:
        in_time = waits.until(lambda seconds: bool(wait([done], seconds).done), limit)
    finally:
        # Also where the wait was interrupted, as by Ctrl-C.
        with lock:
            expired = True
            shut = bool(connections)
            for connection in connections:
                with suppress(OSError):  # the other side may have closed it first
                    connection.shutdown(socket.SHUT_RDWR)
    if in_time or shut:
        thread.join(_LAST_MOMENT)
    if not in_time:
        raise Expired(f"no complete reply within {limit:.1f} s")
    return done.result()
