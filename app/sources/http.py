"""The only door to httpx: one JSON request to one host, within bounds, retried where it helps."""

from __future__ import annotations

import os
import random as standard_random
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar

import httpx

from app import __version__
from app.core import waits
from app.core.errors import (
    OutOfTurn,
    ProxyRefused,
    UpstreamError,
    UpstreamNonsense,
    UpstreamUnavailable,
)
from app.core.logging import structlog
from app.core.ports import Clock, RateLimiter
from app.core.redaction import MARK, SHORTEST, secrets_in
from app.sources.network import Network, Proxy, network_to
from app.sources.replies import (
    ErrorReader,
    RawReply,
    Reply,
    judge,
    printable,
    read_common_error,
)
from app.sources.retry import Bounds, RetryPolicy, decide

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


_POLICY: Final = RetryPolicy()
_BOUNDS: Final = Bounds()


class UpstreamHttp:
    """Asks the host under `base_url` for JSON. Safe to share between threads; close it at the end.

    `limiter` is the rate limiter that all callers of this host share. `secrets` are headers by
    name, such as an API key's, in ASCII: every request carries them; no error and no log repeats
    their values. `network` is the way to the host; without it, the environment is read. `transport`
    replaces the network in tests. Raises ConfigurationError where URL or environment allow no
    client.
    """

    def __init__(
        self,
        base_url: str,
        limiter: RateLimiter,
        *,
        secrets: Mapping[str, str] | None = None,
        network: Network | None = None,
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
        hidden = [*(secrets or {}).values(), *secrets_in(base_url)]
        self._secrets = [value for value in hidden if len(value) >= SHORTEST]
        self._read_error = read_error
        self._policy = policy
        self._bounds = bounds
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._random = random
        network = network or network_to(self._base_url)
        self._proxy = network.proxy
        self._client = httpx.Client(
            headers={**_HEADERS, **(secrets or {})},
            timeout=httpx.Timeout(bounds.read, connect=bounds.connect),
            limits=_NO_KEEP_ALIVE,
            follow_redirects=False,
            trust_env=False,  # `network_to` has read it
            verify=network.trust,
            proxy=network.proxy.client if network.proxy else None,
            transport=transport,
        )
        url = httpx.URL(self._base_url)
        self._host = url.netloc.decode("ascii")
        self._tls = url.scheme == "https"

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
        failure: UpstreamUnavailable | None = None
        while True:
            attempt += 1
            try:
                self._limiter.enter(self._policy.latest - (self._monotonic() - started))
            except OutOfTurn:
                if failure is None:
                    raise
                # It says more than that no turn was left to try again.
                raise failure from None
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
                failure = error
            structlog.get_logger().warning(
                "upstream_retry",
                host=self._host,
                attempt=attempt,
                delay=round(delay, 3),
                reason=str(failure),
            )
            self._sleep(delay)

    def _ask(self, path: str, params: Mapping[str, str | int], limit: float) -> Reply:
        url = f"{self._base_url}/{path}"
        connected = threading.Event()
        try:
            raw = run_within(limit, lambda hold: self._exchange(url, params, hold, connected))
        # InvalidURL: httpx reads a `Location`. UnicodeError: the name cannot be a host's.
        except (httpx.TransportError, httpx.InvalidURL, UnicodeError, OSError, Expired) as error:
            raise _translated(error, self._host, self._proxy, connected.is_set()) from error
        if raw.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and self._proxy is not None:
            raise _refused_by(self._proxy, self._host, raw.status)
        now = self._clock()
        with suppress(UpstreamError):  # it may repeat a key: the next error must not chain it
            return judge(raw, self._host, self._read_error, now)
        for secret in self._secrets:
            body = raw.body and raw.body.replace(secret.encode(), MARK.encode())
            headers = {name: value.replace(secret, MARK) for name, value in raw.headers.items()}
            raw = replace(raw, body=body, headers=headers)
        if self._proxy is None or self._tls:
            return judge(raw, self._host, self._read_error, now)
        name = f"{self._host} through the proxy in {self._proxy.variable}"
        try:
            return judge(raw, name, self._read_error, now)
        except UpstreamError as error:
            error.host = self._host  # without TLS the proxy can write such a reply itself
            raise

    def _exchange(
        self, url: str, params: Mapping[str, str | int], hold: Hold, connected: threading.Event
    ) -> RawReply:
        """Send one request. `connected` is set once the host or the proxy before it is reached."""
        tls = self._proxy is not None and self._proxy.client.url.scheme == "https"
        last_step = f".{'start_tls' if tls else 'connect_tcp'}.complete"

        def trace(event: str, info: Mapping[str, Any]) -> None:
            if event.endswith(".connect_tcp.complete"):
                stream = info["return_value"]
                try:
                    hold(stream.get_extra_info("socket"))
                except (Expired, OSError):
                    stream.close()  # httpx does not own it yet
                    raise
            if event.endswith(last_step):
                connected.set()

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


def _translated(error: Exception, host: str, proxy: Proxy | None, connected: bool) -> UpstreamError:
    """What a transport's failure means to the caller; `connected` says whether it came so far."""
    name, advice = host, "check the network, or try again later"
    if isinstance(error, httpx.ProxyError) and proxy is not None:
        # "407 Proxy Authentication Required", or what a SOCKS proxy says.
        status = str(error)[:3]
        return _refused_by(proxy, host, int(status) if status.isdecimal() else None)
    if proxy is not None and not connected:
        name = f"The proxy in {proxy.variable}"
        advice = f"check {proxy.variable} and the network, or try again later"
    elif proxy is not None:
        name = f"{host} through the proxy in {proxy.variable}"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            claim = host if name == host else "the one that it is said to be"
            return UpstreamNonsense(
                f"{name} cannot prove that it is {claim} ({printable(cause.verify_message)}): check "
                "this machine's clock, and SSL_CERT_FILE where a proxy replaces certificates.",
                host=host,
            )
    return UpstreamUnavailable(
        f"{name} cannot be reached now ({_reason(error)}): {advice}.", host=host
    )


def _refused_by(proxy: Proxy, host: str, status: int | None) -> UpstreamError:
    """What the refusal of a proxy means to the caller."""
    words = "its login" if status is None else _status(status)
    name = f"The proxy in {proxy.variable}"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED or status is None:
        return ProxyRefused(
            f"{name} refuses this client ({words}): correct the user and password in "
            f"{proxy.variable}, or except {host} with NO_PROXY.",
            host=host,
        )
    if status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS:
        return UpstreamUnavailable(
            f"{name} cannot connect to {host} now ({words}): try again later, or ask whoever runs "
            "the proxy.",
            host=host,
        )
    return ProxyRefused(
        f"{name} refuses to connect to {host} ({words}): ask whoever runs the proxy to allow that, "
        "or except the host with NO_PROXY.",
        host=host,
    )


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _reason(error: Exception) -> str:
    """Why the transport failed, in our words, the operating system's or OpenSSL's.

    The library's own text is not repeated: it may hold a header, or bytes of a reply.
    """
    texts = (_words(cause) for cause in _causes(error))
    return next((text for text in texts if text), type(error).__name__)


def _words(cause: BaseException) -> str | None:
    match cause:
        case Expired():
            text: str | None = str(cause)
        case TimeoutError() | httpx.TimeoutException():
            text = "timed out"
        case ssl.SSLError():
            text = f"TLS: {(cause.reason or 'failed').replace('_', ' ').lower()}"
        case socket.gaierror():
            text = cause.strerror
        case OSError() if cause.errno:
            text = os.strerror(cause.errno)
        case UnicodeError() | httpx.InvalidURL():
            text = "it names a host that cannot be one"
        case httpx.ProtocolError():
            text = "it broke off its reply, or does not speak HTTP"
        case _:
            text = None
    return text


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
        raise BodyRefused("its gzip body is damaged") from error
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
