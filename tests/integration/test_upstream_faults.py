"""What becomes of a load when the exchange misbehaves: real sources, real HTTP, a real database.

Every case ends the same way: the error says what to do, nothing wrong is stored, and once the exchange
behaves again the next load leaves what an undisturbed one would have.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.core.errors import (
    ConfigurationError,
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.core.market import Pair
from app.core.prices import COIN_IDS, Coin, Thresholds
from app.db.memory_prices import MemoryPriceStore
from app.services.prices import PriceRules, collect
from app.sources.gate import HostGate
from app.sources.http import Bounds, UpstreamHttp
from tests.support.faulty import (
    ETH,
    FORMATS,
    NOW,
    ONCE,
    SHORT,
    THRICE,
    Rig,
    Served,
    migrated,
    rig,
    served,
)
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


Reaction = tuple[type[UpstreamError], str, int]
"""The error, what it says, and how often the exchange is asked by a policy of three attempts."""

_WAIT = UpstreamUnavailable
FAULTS: dict[str, Reaction] = {
    "status=403": (UpstreamBlocked, "refuses this client (403", 1),
    "status=403,body=json": (UpstreamBlocked, "refuses this client (403", 1),
    "status=403,body=empty": (UpstreamBlocked, "refuses this client (403", 1),
    "status=451,body=text": (UpstreamBlocked, "refuses this client (451", 1),
    "status=400": (UpstreamRejected, "rejects this request (400", 1),
    "status=404,body=empty": (UpstreamRejected, "rejects this request (404", 1),
    "status=429": (_WAIT, "cannot answer now (429", 3),
    "status=429,body=html": (_WAIT, "cannot answer now (429", 3),
    "status=500": (_WAIT, "cannot answer now (500", 3),
    "status=502": (_WAIT, "cannot answer now (502", 3),
    "status=503": (_WAIT, "cannot answer now (503", 3),
    "status=503,body=text": (_WAIT, "Something went wrong", 3),
    "status=504": (_WAIT, "cannot answer now (504", 3),
    "status=599,body=empty": (_WAIT, "cannot answer now (599", 3),
    "redirect": (UpstreamNonsense, "redirects to 169.254.169.254 (302)", 1),
    "redirect=http://[fe80::1]/x,status=308": (UpstreamNonsense, "redirects to fe80::1 (308)", 1),
    "redirect=mailto:x,status=301": (UpstreamNonsense, "redirects elsewhere (301)", 1),
    "redirect=http://xn--/,status=307": (UpstreamNonsense, "redirects to xn-- (307)", 1),
    "answer=error": (_WAIT, "cannot answer now (", 3),
    "answer=null": (UpstreamNonsense, "none of them is used", 1),
    "answer=list": (UpstreamNonsense, "none of them is used", 1),
    "answer=number": (UpstreamNonsense, "none of them is used", 1),
    "answer=object": (UpstreamNonsense, "none of them is used", 1),
    "answer=html": (UpstreamBlocked, "refuses this client (200, a page of HTML)", 1),
    "answer=text": (UpstreamNonsense, "unreadable: it is not JSON", 1),
    "answer=empty": (UpstreamNonsense, "unreadable: it is not JSON", 1),
    "nested": (UpstreamNonsense, "nested too deeply", 1),
    "nested=200000": (UpstreamNonsense, "holds more than 240000 brackets", 1),
    "value=NaN": (UpstreamNonsense, "holds NaN, which is no JSON number", 1),
    "value=-Infinity": (UpstreamNonsense, "holds -Infinity", 1),
    f"value={'9' * 101}": (UpstreamNonsense, "a number of 101 characters", 1),
    "duplicate-key": (UpstreamNonsense, "twice", 1),
    "columns=close": (UpstreamNonsense, "columns of different lengths", 1),
    "refuse": (_WAIT, "Server disconnected", 3),
    "reset": (_WAIT, "cannot be reached now", 3),
    "reset,at=body": (_WAIT, "", 3),
    "cut": (_WAIT, "broke off its reply", 3),
    "cut,keep=0": (_WAIT, "broke off its reply", 3),
    "cut,framing=close": (_WAIT, "broke off its reply", 3),
    "cut,framing=close,keep=0": (_WAIT, "broke off its reply", 3),
    "cut,framing=chunked": (_WAIT, "broke off its reply", 3),
    "flood=20": (UpstreamNonsense, "longer than 1000000 bytes", 1),
    "flood=20,framing=close": (UpstreamNonsense, "longer than 1000000 bytes", 1),
    "flood=20,framing=chunked": (UpstreamNonsense, "longer than 1000000 bytes", 1),
    "flood=20,at=head": (_WAIT, "", 3),
    "gzip-bomb=100": (UpstreamNonsense, "longer than 1000000 bytes", 1),
}

# The legacy format has no columns: there a field is missing in one candle, and that candle is refused.
LOADS = [
    (spec, form)
    for spec in FAULTS
    for form in FORMATS
    if not (spec.startswith("columns") and form == "legacy")
]

TEN_OUTAGES = (
    "status=500", "status=502", "status=503", "status=504", "status=429", "refuse", "reset", "cut",
    "cut,framing=close", "answer=error",
)  # fmt: skip

TIMED = ("hang", "hang,at=body", "trickle=0.01", "trickle=0.01,at=body", "slow=5", "slow=5,at=body")


def clear_line(error: UpstreamError) -> bool:
    """Whether the message is one line for people that names the host and says what to do."""
    line = str(error)
    return (
        line.isprintable()
        and len(line) < 450
        and "127.0.0.1" in line
        and line.endswith(".")
        and (": " in line or ". " in line)
    )


@pytest.mark.parametrize(("spec", "form"), LOADS)
def test_a_fault_ends_the_load_with_the_right_error_and_nothing_stored(
    bench: Rig, spec: str, form: str
) -> None:
    kind, says, requests = FAULTS[spec]
    source = bench.candles(form)
    bench.exchange.faults.add(spec)
    with capture_logs() as logs, pytest.raises(UpstreamError) as caught:
        bench.load(source)
    assert type(caught.value) is kind
    assert says in str(caught.value)
    assert clear_line(caught.value)
    assert bench.asked() == requests
    assert [line["event"] for line in logs] == ["upstream_retry"] * (requests - 1)
    assert bench.stored() == []
    bench.exchange.faults.clear()
    bench.load(source)
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("spec", TIMED)
def test_a_host_that_is_too_slow_is_left_in_time_and_nothing_is_stored(
    bench: Rig, spec: str, form: str
) -> None:
    bench.exchange.faults.add(spec)
    begun = time.monotonic()
    with pytest.raises(UpstreamUnavailable) as caught:
        bench.load(bench.candles(form, ONCE, SHORT))
    assert time.monotonic() - begun < 3.0
    assert clear_line(caught.value)
    assert bench.stored() == []


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "spec", ["extra", "slow=0.05", "slow=0.05,at=body", "running", "order=shuffled", "duplicate"]
)
def test_what_is_odd_but_right_is_loaded(bench: Rig, spec: str, form: str) -> None:
    bench.exchange.faults.add(f"{spec},times=1")
    bench.load(bench.candles(form))
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("spec", ["status=503", "answer=html", "nested", "cut,framing=close"])
def test_a_fault_in_the_middle_of_a_load_leaves_what_was_committed_before(
    bench: Rig, spec: str, form: str
) -> None:
    bench.exchange.faults.add(f"{spec},after=1")
    source = bench.candles(form)
    with capture_logs(), pytest.raises(FAULTS[spec][0]):
        bench.load(source)
    assert bench.whole()
    with capture_logs(), pytest.raises(FAULTS[spec][0]):
        bench.catch_up(source)
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
def test_ten_outages_in_a_row_and_then_everything_is_loaded(bench: Rig, form: str) -> None:
    bench.exchange.faults.add(*(f"{spec},times=1" for spec in TEN_OUTAGES))
    source = bench.candles(form)
    failed = 0
    with capture_logs() as logs:
        while True:
            try:
                bench.load(source)
            except UpstreamUnavailable:
                failed += 1
                assert bench.stored() == []
                continue
            break
    # Three attempts a load: 3 + 3 + 3 outages, and the tenth is made good by the retry.
    assert failed == 3
    assert len([line for line in logs if line["event"] == "upstream_retry"]) == 7
    assert all(item["used"] == 1 for item in bench.exchange.faults.listed())
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("pause", "seconds"),
    [
        *[("7", 7.0), ("0.5", 0.5), ("date+30", 30.0)],
        *[("3600", 3600.0), ("86400", 3600.0), ("99999999999", 3600.0)],
    ],
)
def test_no_request_goes_out_while_the_exchange_asks_for_a_pause(
    bench: Rig, form: str, pause: str, seconds: float
) -> None:
    bench.exchange.faults.add(f"status=429,retry-after={pause},times=1")
    source = bench.candles(form)
    with capture_logs():
        if seconds > THRICE.total:
            # Longer than one load waits: it says for how long, and nobody asks before.
            with pytest.raises(
                UpstreamUnavailable, match=rf"try again in {seconds:.0f} s"
            ) as caught:
                bench.load(source)
            assert caught.value.retry_after == seconds
            with pytest.raises(UpstreamUnavailable, match="may go out in"):
                bench.load(source)
            assert bench.asked() == 1
            bench.time.sleep(seconds)
        bench.load(source)
    first, second = bench.exchange.requests[:2]
    assert second.at - first.at >= seconds
    assert second.at - first.at < seconds + 3.0
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "pause", ["", "-5", "date-30", "soon", "Sat 30 Mar", "1e3", "0", "7 7", "NaN"]
)
def test_a_pause_that_makes_no_sense_is_none_and_the_usual_back_off_holds(
    bench: Rig, form: str, pause: str
) -> None:
    given = f",retry-after={pause}" if pause else ""
    bench.exchange.faults.add(f"status=429{given},times=2")
    with capture_logs():
        bench.load(bench.candles(form))
    # Half of 1 s, then half of 2 s, by the policy and a random that is always a half.
    arrived = [asked.at - NOW for asked in bench.exchange.requests[:3]]
    assert arrived == pytest.approx([0.0, 0.5, 1.5], abs=0.01)
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
def test_trouble_with_one_pair_leaves_the_others_alone(bench: Rig, form: str) -> None:
    unknown = Pair("XXX", "BRL")
    name = {"v4": "ETH-BRL", "legacy": "BRLETH"}[form]
    bench.exchange.faults.add(f"status=400,path={name}")
    source = bench.candles(form)
    for pair in (ETH, unknown):
        with pytest.raises(UpstreamRejected) as caught:
            bench.load(source, pair)
        assert clear_line(caught.value)
        assert bench.stored(pair) == []
    bench.load(source)
    assert bench.whole()


def test_a_redirect_to_another_host_is_not_followed(bench: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        address = f"http://127.0.0.1:{other.getsockname()[1]}"
        for status in (301, 302, 303, 307, 308):
            bench.exchange.faults.add(f"redirect={address}/api/v4/candles,status={status},times=1")
            with pytest.raises(UpstreamNonsense, match=r"redirects to 127\.0\.0\.1"):
                bench.load(bench.candles("v4"))
        with pytest.raises(TimeoutError):
            other.accept()
    assert bench.asked() == 5


PRICE_FAULTS = {
    spec: kind
    for spec, (kind, _, _) in FAULTS.items()
    if not spec.startswith(("columns", "answer=object"))
}


@pytest.mark.parametrize("spec", PRICE_FAULTS)
def test_a_fault_at_the_source_of_prices_is_asked_once_and_nothing_is_stored(
    bench: Rig, spec: str
) -> None:
    store, source = bench.price_store, bench.prices()
    bench.exchange.faults.add(spec)
    with pytest.raises(UpstreamError) as caught:
        collect(source, store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    assert type(caught.value) is PRICE_FAULTS[spec]
    assert clear_line(caught.value)
    assert bench.asked() == 1
    assert all(store.newest(coin.symbol, "usd", 1) == [] for coin in COINS)
    bench.exchange.faults.clear()
    done = collect(source, store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    assert len(done.stored) == len(COINS)


@pytest.mark.parametrize("spec", TIMED)
def test_a_source_of_prices_that_is_too_slow_is_left_in_time_and_nothing_is_stored(
    bench: Rig, spec: str
) -> None:
    store, source = bench.price_store, bench.prices(SHORT)
    bench.exchange.faults.add(spec)
    begun = time.monotonic()
    with pytest.raises(UpstreamUnavailable) as caught:
        collect(source, store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    assert time.monotonic() - begun < 3.0
    assert clear_line(caught.value)
    assert all(store.newest(coin.symbol, "usd", 1) == [] for coin in COINS)


@pytest.mark.parametrize(
    ("pause", "seconds"),
    [("7", 7.0), ("date+30", 30.0), ("86400", 3600.0), ("99999999999", 3600.0)]
    + [(senseless, 0.0) for senseless in ("", "-5", "date-30", "soon")],
)
def test_the_source_of_prices_is_left_alone_for_as_long_as_it_asks(
    bench: Rig, pause: str, seconds: float
) -> None:
    store, source = bench.price_store, bench.prices()
    given = f",retry-after={pause}" if pause else ""
    bench.exchange.faults.add(f"status=429{given},times=1")
    with pytest.raises(UpstreamUnavailable) as caught:
        collect(source, store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    # A date has no fractions of a second.
    assert caught.value.retry_after == (pytest.approx(seconds, abs=1.0) if seconds else None)
    if seconds:
        with pytest.raises(UpstreamUnavailable, match="may go out in"):
            collect(source, store, bench.time.clock, COINS, RULES, publish=lambda _: None)
        assert bench.asked() == 1
        bench.time.sleep(seconds)
    done = collect(source, store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    assert len(done.stored) == len(COINS)
    first, second = bench.exchange.requests
    assert second.at - first.at >= seconds


def test_ten_outages_of_the_source_of_prices_and_then_they_are_stored(bench: Rig) -> None:
    store, source = bench.price_store, bench.prices()
    bench.exchange.faults.add(*(f"{spec},times=1" for spec in TEN_OUTAGES))
    for number in range(len(TEN_OUTAGES)):
        with pytest.raises(UpstreamUnavailable):
            collect(source, store, bench.time.clock, COINS, RULES, publish=lambda _: None)
        assert bench.asked() == number + 1
        assert store.newest("BTC", "usd", 1) == []
    done = collect(source, store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    assert len(done.stored) == len(COINS)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("value=null", "null"),
        ("value=1e400", "does not fit in 64 bits"),
        ("value=0", "above 0"),
        ("value=-1.5", "above 0"),
        ("value=true", "not a JSON number"),
        ('value="67187.33"', "not a JSON number"),
        ("value=[]", "not a JSON number"),
        ("value=1e-9", "less than 1e-8"),
        ("value=null,field=last_updated_at", "without its own time"),
        ("value=1711829417000,field=last_updated_at", "not a time in unix seconds"),
        ("value=1711839417,field=last_updated_at", "after that host's own clock"),
        ("value=1e400,field=last_updated_at", "not a time in unix seconds"),
    ],
)
def test_one_bad_price_is_refused_and_the_others_are_stored(
    bench: Rig, spec: str, says: str
) -> None:
    bench.exchange.faults.add(f"{spec},candle=0")
    store = MemoryPriceStore()
    done = collect(bench.prices(), store, bench.time.clock, COINS, RULES, publish=lambda _: None)
    (refused,) = done.refused
    assert refused.coin.symbol == "BTC"
    assert says in refused.reason
    assert [price.symbol for price in done.stored] == ["ETH", "SOL", "ADA", "DOT"]
    assert store.newest("BTC", "usd", 1) == []


def test_extra_fields_beside_prices_are_no_trouble_and_an_empty_table_is_no_price(
    bench: Rig,
) -> None:
    bench.exchange.faults.add("extra,times=1", "answer=object,after=1")
    source = bench.prices()
    assert len(source.prices(COINS, "usd").prices) == len(COINS)
    reply = source.prices(COINS, "usd")
    assert (reply.prices, len(reply.refused)) == ((), len(COINS))


def test_a_host_without_an_address_is_unavailable_and_an_impossible_name_a_wrong_setting() -> None:
    # Too long for any name server to be asked, so that nothing leaves this machine.
    nowhere = f"http://{'.'.join(['a' * 60] * 5)}.invalid/v4"
    with (
        UpstreamHttp(nowhere, HostGate("x", 100.0), policy=ONCE) as http,
        pytest.raises(UpstreamUnavailable, match="cannot be reached now"),
    ):
        http.get_json("candles", {})
    for impossible in (f"http://{'a' * 64}.example/v4", "http://a..b/v4"):
        with pytest.raises(ConfigurationError, match="check the base URL"):
            UpstreamHttp(impossible, HostGate("x", 100.0))


def test_the_default_bounds_keep_one_call_below_twenty_seconds() -> None:
    """What is left when the deadline has passed is a second for the thread to end."""
    bounds = Bounds()
    assert bounds.deadline + 1.0 <= 20.0
    assert max(bounds.connect, bounds.read) < bounds.deadline
