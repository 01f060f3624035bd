"""The API without a socket, over an in-memory store: started, and asked anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal
from urllib.parse import unquote

import httpx
import pytest
from asgi_lifespan import LifespanManager
from starlette.types import ASGIApp

from app.bootstrap import Runtime
from app.core.errors import ConfigurationError, MmsError
from app.core.market import DAY, WINDOWS, AverageRow, Candle, Pair, Series
from app.core.ports import AverageStore, RequestRate, SeriesStore, WarmAverages
from app.core.prices import Coin, PriceReply, PriceSource, RefusedPrice, SpotPrice
from app.core.setting_edge import Rate
from app.core.settings import Settings, load_settings
from app.db.cache.request_rate import LocalRequestRate
from app.events.bus import EventBus
from app.main import create_app
from app.services.health import Health
from app.sources.local_rate_limiter import LocalRateLimiter
from app.testing.prices import MemoryPriceStore
from app.testing.series import MemoryHostClocks, MemoryLeases, MemorySeriesStore
from tests.support.candles import BTC_DAILY

BTC = Pair("BTC", "BRL")
ETH = Pair("ETH", "BRL")
LAST = 1_711_670_400
"""2024-03-29, the newest closed day at NOW."""
NOW = LAST + DAY + 10 * 3600

PEER: Final = ("127.0.0.1", 4711)
"""Where requests come from: this machine."""

UNLIMITED: Final = {"rate_limit": "off", "rate_limit_collect": "off"}
"""Settings for a test whose requests come all from one address."""


def settings(**overrides: Any) -> Settings:
    """Settings that no `.env` of this machine changes."""
    return load_settings(None, **overrides)


def refused(**values: str) -> str:
    """Why settings with these values stop the start."""
    with pytest.raises(ConfigurationError) as error:
        settings(**values)
    return str(error.value)


@dataclass
class FakePrices:
    """A PriceSource that says what a test set, and records what it was asked."""

    said: dict[str, int] = field(default_factory=dict)
    at: int = NOW
    trouble: MmsError | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def prices(self, coins: Sequence[Coin], currency: str) -> PriceReply:
        """What was set; a coin without a price is refused."""
        self.asked.append(tuple(coin.symbol for coin in coins))
        if self.trouble is not None:
            raise self.trouble
        known = [coin for coin in coins if coin.symbol in self.said]
        return PriceReply(
            tuple(SpotPrice(c, self.said[c.symbol], currency, self.at) for c in known),
            tuple(RefusedPrice(c, f"No price of {c}.") for c in coins if c not in known),
            self.at,
        )


@dataclass
class FakeRuntime:
    """A runtime over an in-memory store, which is its database, too; `closed` counts."""

    store: MemorySeriesStore = field(default_factory=MemorySeriesStore)
    now: float = NOW
    closed: int = 0
    cache_works: bool = True
    prices: MemoryPriceStore = field(default_factory=MemoryPriceStore)
    price_source: PriceSource = field(default_factory=FakePrices)
    averages: AverageStore | None = None
    warm: WarmAverages | None = None
    events: EventBus = field(default_factory=lambda: EventBus({}))

    def build(self, chosen: Settings) -> Runtime:
        """What `create_app` builds with."""
        resources = ExitStack()
        resources.callback(self._close)
        return Runtime(
            settings=chosen,
            clock=lambda: self.now,
            series=self.store,
            averages=self.averages or self.store,
            warm=self.warm,
            leases=MemoryLeases("test", {}, 120),
            host_clocks=MemoryHostClocks(),
            events=self.events,
            prices=self.prices,
            price_source=self.price_source,
            limiter_for=LocalRateLimiter,
            health=Health(self._ping, _Cache(lambda: self.cache_works)),
            rate=self._rate("default", chosen.rate_limit),
            rate_collect=self._rate("collect", chosen.rate_limit_collect),
            resources=resources,
        )

    def _rate(self, name: str, rate: Rate | Literal["off"]) -> RequestRate | None:
        return None if rate == "off" else LocalRequestRate(name, rate, lambda: self.now)

    def _ping(self) -> None:
        self.store.state(BTC_DAILY)

    def _close(self) -> None:
        self.closed += 1
        self.events.close()


class _Cache:
    """A cache that works as long as a test says so, and holds nothing."""

    def __init__(self, works: Callable[[], bool]) -> None:
        self._works = works

    def get(self, key: str) -> memoryview | None:
        return None

    def set(self, key: str, value: bytes) -> None:
        pass

    def healthy(self) -> bool:
        return self._works()

    def close(self) -> None:
        pass


def close_of(number: int) -> int:
    """The made-up close of the numbered bucket, in 1e-8; no two averages of it are alike."""
    return 35_000_000_000_000 + number * number * 12_345 + number % 7


def load(
    store: SeriesStore,
    series: Series = BTC_DAILY,
    *,
    last: int = LAST,
    count: int = 564,
    without: Iterable[int] = (),
) -> list[int]:
    """Store `count` candles up to `last`, less the buckets `without`, with their averages."""
    step = series.step
    candles, averages = _series(step, last, count, frozenset(without))
    with store.begin(series) as unit:
        unit.put_candles(candles)
        unit.put_averages(averages)
        unit.finish(changed=True, now=last + step + 300)
    return [candle.bucket for candle in candles]


@cache
def _series(
    step: int, last: int, count: int, gone: frozenset[int]
) -> tuple[list[Candle], list[AverageRow]]:
    numbered = {last - number * step: count - number for number in range(count)}
    closes = {b: close_of(n) for b, n in sorted(numbered.items()) if b not in gone}
    candles = [Candle(b, c, c + 5, c - 5, c, 3 * 10**8) for b, c in closes.items()]
    return candles, [AverageRow(b, means(closes, b, step)) for b in closes]


def means(closes: dict[int, int], bucket: int, step: int) -> tuple[int | None, ...]:
    """The exact averages at `bucket`, None where one of the closes is not there."""
    found: list[int | None] = []
    for window in WINDOWS:
        values = [closes.get(bucket - back * step) for back in range(window)]
        known = [value for value in values if value is not None]
        found.append(_half_even(sum(known), window) if len(known) == window else None)
    return tuple(found)


def _half_even(total: int, count: int) -> int:
    return int((Decimal(total) / count).to_integral_value("ROUND_HALF_EVEN"))


@dataclass(frozen=True)
class Answer:
    """What came back over ASGI."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of the only header of this name, None where there is none."""
        found = [value for key, value in self.headers if key == name.lower()]
        assert len(found) < 2, (name, found)
        return found[0] if found else None

    def json(self) -> Any:
        """The body, with numbers as exact decimals."""
        return json.loads(self.body, parse_float=Decimal)


class Client:
    """Asks a started application over `httpx.ASGITransport`."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self._app = app
        self._runner = runner

    def get(self, target: str, *headers: tuple[str, str]) -> Answer:
        """GET a path and query as they stand in a request line."""
        return self.ask("GET", target, *headers)

    def ask(self, method: str, target: str, *headers: tuple[str, str]) -> Answer:
        """Any method, target and headers."""
        path, _, query = target.partition("?")
        raw = path.encode("utf-8", "surrogateescape")
        return self.send(
            method, unquote(path), raw, query.encode("utf-8", "surrogateescape"), headers
        )

    def raw(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = ()
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and body of a request, as the application sends them to the server."""
        path, _, query = target.partition("?")
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            # The client stays, so nothing comes after the request.
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "client": PEER,
            "server": ("127.0.0.1", 80),
        }
        self._runner.run(self._app(scope, receive, send))
        start, *rest = sent
        assert start["type"] == "http.response.start"
        body = b"".join(message.get("body", b"") for message in rest)
        return start["status"], list(start["headers"]), body

    def send(
        self,
        method: str,
        path: str,
        raw_path: bytes,
        query: bytes,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Answer:
        """A request whose parts need not fit together; httpx itself would mend its address."""

        async def as_given(scope: Any, receive: Any, send: Any) -> None:
            sent = {**scope, "path": path, "raw_path": raw_path, "query_string": query}
            await self._app(sent, receive, send)

        async def exchange() -> httpx.Response:
            transport = httpx.ASGITransport(as_given, client=PEER)
            async with httpx.AsyncClient(transport=transport) as client:
                # Only what a test says is accepted.
                del client.headers["accept-encoding"]
                return await client.request(
                    method,
                    "http://127.0.0.1/",
                    headers=[(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers],
                )

        got = self._runner.run(exchange())
        said = [(k.lower().decode("latin-1"), v.decode("latin-1")) for k, v in got.headers.raw]
        return Answer(got.status_code, said, got.content)


@contextmanager
def started(app: ASGIApp) -> Iterator[Client]:
    """Run the application's lifespan around the block; what stops its start is raised."""

    async def begin() -> LifespanManager:
        # A machine that is busy may take its time.
        return await LifespanManager(app, startup_timeout=60, shutdown_timeout=60).__aenter__()

    with asyncio.Runner() as runner:
        lifespan = runner.run(begin())
        try:
            yield Client(lifespan.app, runner)
        finally:
            runner.run(lifespan.__aexit__())


@contextmanager
def serving(runtime: FakeRuntime, **overrides: Any) -> Iterator[Client]:
    """The API over a fake runtime, with settings of the test's choice; else it limits no rate."""
    build: Callable[[Settings], Runtime] = runtime.build
    with started(create_app(settings(**UNLIMITED | overrides), build)) as client:
        yield client
