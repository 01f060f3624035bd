"""What becomes of a load when the exchange misbehaves: real sources, real HTTP, a real database.

Every case ends the same way: the error says what to do, nothing wrong is stored, and once the exchange
behaves again the next load leaves what an undisturbed one would have. What each reply means is the subject
of tests/unit/sources, how each connection ends that of tests/integration/test_sources_http.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.core.errors import (
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.core.prices import COIN_IDS, Coin, Thresholds
from app.services.anomalies import PriceRules
from app.services.prices import collect
from app.sources.http import Bounds
from tests.support.faulty import LONG, ONCE, SHORT, THRICE, Rig, Served, migrated, rig, served
from tests.support.loopback import nothing_left_behind

COINS = tuple(Coin.parse(symbol) for symbol in COIN_IDS)
RULES = PriceRules("usd", Thresholds.parse("0.05"), 900)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without anything in it."""
    return migrated(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Served]:
    """An exchange on a port."""
    with served() as made:
        yield made


@pytest.fixture
def bench(stand_in: Served, empty: Path, tmp_path: Path) -> Iterator[Rig]:
    """An exchange, a database, and nothing left behind at the end."""
    with nothing_left_behind(), rig(stand_in, empty, tmp_path) as made:
        yield made


WAIT, NONSENSE = UpstreamUnavailable, UpstreamNonsense
FAULTS: dict[str, tuple[type[UpstreamError], int]] = {
    "status=403": (UpstreamBlocked, 1),
    "status=200,body=<html>": (UpstreamBlocked, 1),
    "status=400": (UpstreamRejected, 1),
    "status=503": (WAIT, 3),
    'status=200,body={"code":"API|SERVER|API_UNAVAILABLE"}': (WAIT, 3),
    "status=302,location=http://169.254.169.254/": (NONSENSE, 1),
    "status=200,body=[]": (NONSENSE, 1),
    f"status=200,body={'[' * 1_000}": (NONSENSE, 1),
    "value=NaN": (NONSENSE, 1),
    "refuse": (WAIT, 3),
    "cut": (WAIT, 3),
    "cut,framing=close": (WAIT, 3),
    "flood=20,framing=close": (NONSENSE, 1),
    "flood=20,at=head": (WAIT, 3),
    "gzip-bomb=100": (NONSENSE, 1),
}
"""The error, and how often the exchange is asked by a policy of three attempts."""


@pytest.mark.parametrize("spec", FAULTS)
def test_a_fault_ends_the_load_with_the_right_error_and_nothing_stored(
    bench: Rig, spec: str
) -> None:
    kind, requests = FAULTS[spec]
    source = bench.candles("v4")
    bench.exchange.faults.add(spec)
    with capture_logs() as logs, pytest.raises(UpstreamError) as caught:
        bench.load(source)
    assert type(caught.value) is kind
    line = str(caught.value)
    assert "127.0.0.1" in line
    assert line.isprintable()
    assert len(line) < 450
    assert bench.asked() == requests
    assert [line["event"] for line in logs] == ["upstream_retry"] * (requests - 1)
    assert bench.stored() == []
    bench.exchange.faults.clear()
    bench.load(source)
    assert bench.whole()


@pytest.mark.parametrize("spec", ["hang", "trickle=0.01"])
def test_a_host_that_is_too_slow_is_left_and_nothing_is_stored(bench: Rig, spec: str) -> None:
    bench.exchange.faults.add(spec)
    # Without a deadline the bytes that trickle would come to a good reply in the end.
    with pytest.raises(UpstreamUnavailable, match=r"127\.0\.0\.1"):
        bench.load(bench.candles("v4", ONCE, SHORT))
    assert bench.stored() == []


def test_temporary_faults_within_one_load_are_made_good(bench: Rig) -> None:
    bench.exchange.faults.add("status=503,times=1", "cut,framing=close,times=1")
    with capture_logs() as logs:
        bench.load(bench.candles("v4"))
    assert [line["event"] for line in logs] == ["upstream_retry"] * 2
    assert bench.whole()


@pytest.mark.parametrize(("pause", "seconds"), [("7", 7.0), ("date+30", 30.0), ("86400", 3600.0)])
def test_no_request_goes_out_while_the_exchange_asks_for_a_pause(
    bench: Rig, pause: str, seconds: float
) -> None:
    bench.exchange.faults.add(f"status=429,retry-after={pause},times=1")
    source = bench.candles("v4")
    with capture_logs():
        if seconds > THRICE.total:
            # Longer than one load waits: it says for how long, and nobody asks before.
            with pytest.raises(UpstreamUnavailable) as caught:
                bench.load(source)
            assert caught.value.retry_after == seconds
            with pytest.raises(UpstreamUnavailable, match="may go out in"):
                bench.load(source)
            assert bench.asked() == 1
            bench.time.sleep(seconds)
        bench.load(source)
    first, second = bench.exchange.requests[:2]
    assert seconds <= second.at - first.at < seconds + 3.0  # by a time that only sleep moves
    assert bench.whole()


@pytest.mark.parametrize(
    ("spec", "kind", "bounds"),
    [
        ("status=429", WAIT, LONG),
        ("status=403", UpstreamBlocked, LONG),
        ("cut,framing=close", WAIT, LONG),
        ("gzip-bomb=100", NONSENSE, LONG),
        ("trickle=0.01", WAIT, SHORT),
    ],
)
def test_a_fault_at_the_source_of_prices_is_asked_once_and_nothing_is_stored(
    bench: Rig, spec: str, kind: type[UpstreamError], bounds: Bounds
) -> None:
    store = bench.price_store
    bench.exchange.faults.add(spec)
    with pytest.raises(kind, match=r"127\.0\.0\.1"):
        collect(bench.prices(bounds), store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    assert bench.asked() == 1
    assert all(store.newest(coin.symbol, "usd", 1) == [] for coin in COINS)
    bench.exchange.faults.clear()
    done = collect(bench.prices(), store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    assert len(done.stored) == len(COINS)


def test_the_source_of_prices_is_left_alone_for_as_long_as_it_asks(bench: Rig) -> None:
    store, source = bench.price_store, bench.prices()
    bench.exchange.faults.add("status=429,retry-after=7,times=1")
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable):
            collect(source, store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    assert bench.asked() == 1
    bench.time.sleep(7.0)
    done = collect(source, store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    assert len(done.stored) == len(COINS)


def test_the_default_bounds_keep_one_call_below_twenty_seconds() -> None:
    """What is left when the deadline has passed is a second for the thread to end."""
    bounds = Bounds()
    assert bounds.deadline + 1.0 <= 20.0
    assert max(bounds.connect, bounds.read) < bounds.deadline
