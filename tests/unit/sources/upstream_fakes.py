"""Stand-ins for what the door to a host works with: time, the rate limiter, and the host itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import httpx

from app.core.ports import RateLimiter
from app.sources import mercado_bitcoin, mercado_bitcoin_legacy
from app.sources.http import UpstreamHttp
from app.sources.mercado_bitcoin import MercadoBitcoin
from app.sources.mercado_bitcoin_legacy import MercadoBitcoinLegacy
from app.sources.replies import ErrorReader, read_common_error
from app.sources.retry import Bounds, RetryPolicy

NOW = 1_711_829_417  # 2024-03-30 20:10:17 UTC
NOW_HEADER = "Sat, 30 Mar 2024 20:10:17 GMT"
HOST = "exchange.example"


@dataclass
class FakeTime:
    """A monotonic clock that only sleeping moves."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class OpenLimiter:
    """A RateLimiter that lets everybody through and records what it was told."""

    budgets: list[float] = field(default_factory=list)
    closures: list[float] = field(default_factory=list)

    def enter(self, budget: float) -> None:
        self.budgets.append(budget)

    def close_for(self, seconds: float) -> None:
        self.closures.append(seconds)


class Pieces(httpx.SyncByteStream):
    """A body that arrives in pieces, unread until somebody asks."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


@dataclass(frozen=True)
class Answer:
    """A reply that can be sent any number of times."""

    status: int
    headers: dict[str, str]
    body: bytes

    def response(self) -> httpx.Response:
        return httpx.Response(self.status, headers=self.headers, stream=Pieces(self.body))


def answer(
    data: object = None,
    status: int = 200,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """A reply with `data` as JSON, or with `body` as it is; its Date is NOW by default."""
    content = json.dumps(data).encode() if body is None else body
    known = {
        "content-type": "application/json",
        "content-length": str(len(content)),
        "date": NOW_HEADER,
    }
    return Answer(status, {**known, **(headers or {})}, content)


@dataclass
class FakeHost:
    """Answers one reply after the other, the last one for ever; records the requests."""

    replies: list[Answer | Exception]
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply.response()


def door(
    host: Callable[[httpx.Request], httpx.Response],
    *,
    limiter: RateLimiter | None = None,
    time: FakeTime | None = None,
    policy: RetryPolicy | None = None,
    bounds: Bounds | None = None,
    read_error: ErrorReader = read_common_error,
    base_url: str = f"https://{HOST}/api/v4",
) -> UpstreamHttp:
    """The real door with everything around it faked; jitter always takes half."""
    fake = time or FakeTime()
    return UpstreamHttp(
        base_url,
        limiter or OpenLimiter(),
        read_error=read_error,
        policy=policy or RetryPolicy(),
        bounds=bounds or Bounds(),
        clock=lambda: float(NOW),
        monotonic=fake.monotonic,
        sleep=fake.sleep,
        random=lambda: 0.5,
        transport=httpx.MockTransport(host),
    )


def v4(host: FakeHost, clock: float = NOW) -> MercadoBitcoin:
    """The v4 source in front of a faked host, asking once."""
    one = RetryPolicy(attempts=1)
    http = door(host, policy=one, read_error=mercado_bitcoin.read_error)
    return MercadoBitcoin(http, lambda: clock)


def legacy(host: FakeHost, clock: float = NOW) -> MercadoBitcoinLegacy:
    """The legacy source in front of a faked host, asking once."""
    one = RetryPolicy(attempts=1)
    http = door(host, policy=one, read_error=mercado_bitcoin_legacy.read_error)
    return MercadoBitcoinLegacy(http, lambda: clock)
