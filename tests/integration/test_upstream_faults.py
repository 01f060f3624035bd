"""What becomes of a load when the exchange misbehaves: real sources, real HTTP, a real database.

A candle is stored as a whole or not at all; the averages are those of what is stored; and once the
exchange behaves again, the next load leaves what an undisturbed one would have. What each reply
means is the subject of tests/unit/sources, how each connection ends that of test_sources_http.py,
what is wrong with a candle that of tests/unit/domain/test_candles.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache

import pytest

from app.core.errors import UpstreamBlocked, UpstreamError, UpstreamNonsense, UpstreamUnavailable
from app.core.market import WARM_UP, Candle, Interval
from app.core.ports import CandleSource
from app.db import schema
from app.db.database import open_engine
from app.db.stores.series import SqlSeriesStore
from app.domain.fixed_point import exact
from app.sandbox.book import ReplayBook
from app.sandbox.exchange import LEGACY_PATH, V4_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from app.services.loading import LoadReport
from app.sources import mercado_bitcoin as official
from app.sources import mercado_bitcoin_legacy as legacy
from app.sources.http import UpstreamHttp
from app.sources.local_rate_limiter import LocalRateLimiter
from app.sources.retry import Bounds, RetryPolicy
from tests.support.candles import BTC_DAILY, Rows, by_hand
from tests.support.loads import incremental, initial

DAY = Interval.DAY
NOW = 1_711_829_417
"""2024-03-30 20:10:17."""
LAST = DAY.last_closed(NOW)
SERVED = 10
FIRST = LAST - (SERVED + WARM_UP - 1) * DAY.seconds
BAD = LAST - 20 * DAY.seconds
"""The bucket of the wrong candle: in the first request, and long before what is read again."""

SOURCES: dict[str, Callable[[UpstreamHttp], CandleSource]] = {
    V4_PATH: lambda http: official.MercadoBitcoin(http, lambda: NOW),
    LEGACY_PATH: lambda http: legacy.MercadoBitcoinLegacy(http, lambda: NOW),
}


@dataclass
class Rig:
    """One exchange, one database, and a way to the exchange in either format."""

    exchange: Exchange
    url: str
    store: SqlSeriesStore
    closing: ExitStack

    def source(self, path: str = V4_PATH) -> CandleSource:
        """The real source of one format, which asks once."""
        http = UpstreamHttp(
            self.url + path,
            LocalRateLimiter("loopback", 10_000.0),
            read_error=(official if path == V4_PATH else legacy).read_error,
            policy=RetryPolicy(attempts=1),
            clock=lambda: NOW,
        )
        return SOURCES[path](self.closing.enter_context(http))

    def load(self, source: CandleSource) -> LoadReport:
        """The initial load."""
        return initial(self.store, source, lambda: NOW, history_days=SERVED)

    def reread(self, source: CandleSource, buckets: int) -> LoadReport:
        """An incremental load that reads so many stored buckets again."""
        return incremental(self.store, source, lambda: NOW, history_days=SERVED, reread=buckets)

    def stored(self) -> Rows:
        """Everything that is stored."""
        return self.store.rows(BTC_DAILY, 0, 2**40)[1]


@pytest.fixture
def rig(sqlite_url: str) -> Iterator[Rig]:
    """An exchange whose clock stands still, and a database."""
    exchange = Exchange(market(), clock=lambda: NOW)
    engine = open_engine(sqlite_url)
    schema.migrate(engine)
    with serve(exchange) as url, ExitStack() as closing:
        closing.callback(engine.dispose)
        yield Rig(exchange, url, SqlSeriesStore(engine), closing)


@cache
def market() -> ReplayBook:
    """A simulated market's days up to the running one, at NOW."""
    return ReplayBook({BTC_DAILY: Simulation(7).candles(BTC_DAILY, FIRST, NOW, NOW)})


@cache
def truth() -> tuple[Candle, ...]:
    """The candles of the closed days, as they must be stored."""
    return tuple(
        Candle(bar.stamp, *(exact(f"{number:f}") for number in numbers))
        for bar in market().candles(BTC_DAILY, FIRST, LAST, NOW)
        for numbers in [(bar.open, bar.high, bar.low, bar.close, bar.volume)]
    )


FAULTS: dict[str, type[UpstreamError]] = {
    "status=200,body=<html>": UpstreamBlocked,
    'status=200,body={"code":"API|SERVER|API_UNAVAILABLE"}': UpstreamUnavailable,
    "refuse": UpstreamUnavailable,
    "cut,framing=close": UpstreamUnavailable,
    "flood=20,framing=close": UpstreamNonsense,
    "gzip-bomb=100": UpstreamNonsense,
}


@pytest.mark.parametrize("spec", FAULTS)
def test_a_fault_ends_the_load_with_the_right_error_and_nothing_stored(rig: Rig, spec: str) -> None:
    source = rig.source()
    rig.exchange.faults.add(spec)
    with pytest.raises(UpstreamError) as caught:
        rig.load(source)
    assert type(caught.value) is FAULTS[spec]
    assert "127.0.0.1" in str(caught.value)
    assert rig.stored() == []
    rig.exchange.faults.clear()
    rig.load(source)
    assert rig.stored() == by_hand(truth())


REFUSED = {
    "crossed": "lies above the high",
    "value=-5,field=low": "is not above zero",
    "value=null": "The close is missing",
    'value="NaN"': "is not a decimal number",
    "value=NaN": "is not a decimal number",
    "value=1e400": "does not fit in 64 bits",
    "value=[1]": "The close (a list) is no number",
}
"""What makes a candle unusable, and the reason that is given."""


@pytest.mark.parametrize("path", SOURCES)
def test_wrong_candles_are_refused_one_by_one_leave_holes_and_come_back_with_the_next_load(
    rig: Rig, path: str
) -> None:
    wrong = {FIRST + n * 7 * DAY.seconds: spec for n, spec in enumerate(REFUSED)}
    rig.exchange.faults.add(*(f"{spec},candle={at}" for at, spec in wrong.items()))
    source = rig.source(path)
    report = rig.load(source)
    assert [item.bucket for item in report.refused] == list(wrong)
    for item in report.refused:
        assert REFUSED[wrong[item.bucket or 0]] in item.reason
    assert rig.stored() == by_hand([candle for candle in truth() if candle.bucket not in wrong])
    kept = rig.store.quarantined(BTC_DAILY, FIRST, LAST)
    assert {(item.bucket, item.reason) for item in kept} == {
        (item.bucket, item.reason) for item in report.refused
    }
    # It is not said that the exchange has no such candles: so they are asked for again.
    assert (report.absent, rig.store.absences(BTC_DAILY, FIRST, LAST)) == (0, [])
    rig.exchange.faults.clear()
    assert rig.load(source).inserted == len(wrong)
    assert rig.stored() == by_hand(truth())


@pytest.mark.parametrize("spec", ["crossed", "missing"])
def test_a_wrong_candle_never_replaces_a_right_one(rig: Rig, spec: str) -> None:
    source = rig.source()
    rig.load(source)
    before = rig.store.state(BTC_DAILY).revision
    rig.exchange.faults.add(f"{spec},candle={LAST - DAY.seconds}")
    report = rig.reread(source, 3)
    assert (report.inserted, report.revised) == (0, 0)
    assert rig.stored() == by_hand(truth())
    assert rig.store.state(BTC_DAILY).revision == before


def test_a_revised_close_is_noticed_when_it_is_read_again_and_corrects_its_averages(
    rig: Rig,
) -> None:
    source = rig.source()
    rig.load(source)
    rig.exchange.faults.add(f"revise=0.5,candle={BAD}")
    assert rig.reread(source, 3).revised == 0
    assert rig.stored() == by_hand(truth())
    assert rig.reread(source, 30).revised == 1
    (revision,) = rig.store.revisions(BTC_DAILY, 10)
    old, new = revision.old, revision.new
    assert old == next(candle for candle in truth() if candle.bucket == BAD)
    assert new.close == pytest.approx(old.close / 2, abs=1)
    assert (new.bucket, new.open, new.volume) == (old.bucket, old.open, old.volume)
    assert rig.stored() == by_hand([new if c.bucket == BAD else c for c in truth()])


def test_the_default_bounds_keep_one_call_below_twenty_seconds() -> None:
    """What is left when the deadline has passed is a second for the thread to end."""
    bounds = Bounds()
    assert bounds.deadline + 1.0 <= 20.0
    assert max(bounds.connect, bounds.read) < bounds.deadline
