"""What the routes work with: built once when the process starts, and shared by all requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import product, starmap

from app.api import bodies
from app.api.checks import Checks
from app.api.errors import shortened
from app.api.reply_headers import ReplyHeaders
from app.api.shared_work import SharedWork
from app.api.streams import Streams, most_streams
from app.api.turns import Turns
from app.bootstrap import Runtime
from app.core import names
from app.core.errors import UnsupportedInterval, UnsupportedPair, UnsupportedSymbol
from app.core.market import Interval, Pair, Series
from app.core.prices import COIN_IDS, Coin, PriceSource, StoredPrice, spelt
from app.services.changes import Change, Changes, Unusual
from app.services.coverage import Coverage, CoverageCounter
from app.services.gaps import Inspector
from app.services.latest import Latest


@dataclass(frozen=True)
class Context:
    """The runtime, and what its settings alone decide.

    `draining` is set once this process should get no new requests. A heavy read waits for a turn of
    `heavy_reads` (`app.api.heavy_reads`). `checks` runs what health checks read.
    Requests for a price of one symbol share the call in `collections`.
    """

    runtime: Runtime
    draining: threading.Event
    coverage: CoverageCounter
    inspector: Inspector
    heavy_reads: Turns
    checks: Checks
    streams: Streams
    headers: ReplyHeaders
    collections: SharedWork
    access_log: bool
    root_path: str
    has_docs: bool
    price_source: PriceSource
    history_days: int
    _pairs: Mapping[str, Pair]
    _intervals: Mapping[str, Interval]
    _coins: Mapping[str, Coin]
    _series: Mapping[tuple[str, str], Series]

    @classmethod
    def of(cls, runtime: Runtime, draining: threading.Event, *, streams: bool = True) -> Context:
        """Everything that requests need of `runtime`, prepared once.

        Without `streams` none is opened: nobody would end them at a stop.
        """
        settings = runtime.settings
        pairs = settings.allowed_pairs
        served = {name: pair for pair in pairs for name in (pair.legacy, pair.symbol)}
        intervals = {interval.value: interval for interval in settings.intervals}
        coverage = CoverageCounter(runtime.series, settings.history_days)
        assert runtime.price_source is not None  # `for_api` opens it
        return cls(
            runtime=runtime,
            draining=draining,
            coverage=coverage,
            inspector=Inspector(runtime.series, settings.history_days),
            heavy_reads=Turns(settings.heavy_reads, settings.heavy_reads_per_client),
            checks=Checks(),
            streams=Streams(
                partial(_changes, runtime, coverage),
                partial(_event, runtime),
                most_streams(settings) if streams else 0,
                draining,
                runtime.clock,
            ),
            headers=ReplyHeaders(settings),
            collections=SharedWork(),
            access_log=settings.access_log == "on",
            root_path=settings.root_path,
            has_docs=settings.has_docs,
            price_source=runtime.price_source,
            history_days=settings.history_days,
            _coins={coin.symbol: coin for coin in settings.allowed_symbols},
            _pairs=served,
            _intervals=intervals,
            _series={
                (name, text): Series(pair, interval)
                for name, pair in served.items()
                for text, interval in intervals.items()
            },
        )

    def series(self, pair: str, interval: str) -> Series:
        """The served series of these texts; raises as `pair` and `interval` do."""
        series = self._series.get((pair, interval))
        return series or Series(self.pair(pair), self.interval(interval))

    def pair(self, text: str) -> Pair:
        """The served pair that `text` names, `BRLBTC` or `BTC-BRL` in any case.

        Raises UnsupportedPair, which lists the served ones.
        """
        pair = self._pairs.get(names.cased(text))
        if pair is None:
            pairs = self.runtime.settings.allowed_pairs
            legacy = ", ".join(served.legacy for served in pairs)
            symbols = ", ".join(served.symbol for served in pairs)
            meant = self.meant_pair(text)
            allowed = f"use one of {legacy} (or {symbols}).{_way_to_pair(text)}"
            if meant is not None:
                allowed = f"did you mean {meant} (or {meant.symbol})?"
            raise UnsupportedPair(f"{shortened(text)!r} is not served: {allowed}")
        return pair

    def meant_pair(self, text: str) -> Pair | None:
        """The served pair that `text` means in another spelling than ours, if any."""
        meant = Pair.meant(text)
        return meant if meant in self._pairs.values() else None

    def interval(self, text: str) -> Interval:
        """The served interval that `text` names. Raises UnsupportedInterval, which lists them."""
        interval = self._intervals.get(text)
        if interval is None:
            served = ", ".join(self._intervals)
            raise UnsupportedInterval(
                f"interval={shortened(text)!r} is not served: use one of {served}. "
                f"{_way_to_interval(text)}"
            )
        return interval

    def coin(self, text: str) -> Coin:
        """The coin that `text` names in any case. Raises UnsupportedSymbol, which lists them."""
        coin = self._coins.get(names.cased(text))
        if coin is None:
            raise UnsupportedSymbol(
                f"Unsupported symbol {shortened(text)!r}: use one of {', '.join(self._coins)}."
                f"{_way_to_coin(text)}"
            )
        return coin


def _changes(runtime: Runtime, coverage: CoverageCounter) -> Changes:
    settings = runtime.settings
    return Changes(
        runtime.series,
        runtime.prices,
        coverage,
        served=starmap(Series, product(settings.allowed_pairs, settings.intervals)),
        symbols=[coin.symbol for coin in settings.allowed_symbols],
        rules=runtime.price_rules,
        history_days=settings.history_days,
        clock=runtime.clock,
    )


def _event(runtime: Runtime, change: Change) -> tuple[str, bytes]:
    """The event that tells of a change: its name and its data."""
    match change:
        case Latest():
            return "averages", bodies.latest(change)
        case Coverage():
            return "gaps", bodies.status(change).model_dump_json(exclude_unset=True).encode()
        case StoredPrice():
            return "price", bodies.price(change, runtime.price_rules)
        case Unusual(symbol, judgement):
            return "anomaly", bodies.anomaly(symbol, runtime.price_rules, judgement)


def _way_to_pair(text: str) -> str:
    """How the pair that `text` may name comes to be served; empty where it names none."""
    pair = Pair.meant(text)
    with suppress(UnsupportedPair):
        pair = Pair.parse(text)
    if pair is None:
        return ""
    return f" The operator of this service can add {pair.symbol} to ALLOWED_PAIRS."


def _way_to_interval(text: str) -> str:
    """How an interval comes to be served, or which ones can be."""
    try:
        Interval.parse(text)
    except UnsupportedInterval:
        return f"The service can have {', '.join(each.value for each in Interval)}, and no others."
    return "The operator of this service can add it to INTERVALS."


def _way_to_coin(text: str) -> str:
    """How a coin comes to be collected; empty where `text` cannot be its symbol."""
    symbol = spelt(text)
    if not symbol:
        return ""
    written = symbol if symbol in COIN_IDS else f"{symbol}:coingecko-id"
    return f" The operator of this service can add it to ALLOWED_SYMBOLS, as {written}."
