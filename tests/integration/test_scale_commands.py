"""Prices that suddenly come at another scale, and commands that ask for what no stored candle overlaps.

Whatever part of a series is loaded or repaired: nothing of it is stored, the command ends with 1, the
quarantine has it, and once the exchange is itself again the next run ends where it would have.
"""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import pytest

from app.core.market import DAY, Interval, Pair
from app.sandbox.book import Bar, ReplayBook
from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.town import CATCH_UP, LOADER, MONITOR, Town, by_pair

ONE = {"ALLOWED_PAIRS": "BRLBTC"}
SCALES = ["scale=100", "scale=/1000"]
SAID = {"scale=100": "multiplied by 100", "scale=/1000": "multiplied by 0.001"}


def ago(days: int) -> int:
    """The bucket so many days before the newest closed one."""
    return Interval.DAY.last_closed(time.time()) - days * DAY


def whole(town: Town, **settings: str) -> list[object]:
    """What an undisturbed load of the same history leaves."""
    folder = town.folder / "undisturbed"
    folder.mkdir()
    other = Town(town.url, folder)
    assert other.run(*LOADER, **ONE, **settings).returncode == 0
    return other.stored()


@pytest.mark.parametrize("scale", SCALES)
def test_a_deeper_history_at_another_scale(town: Town, scale: str) -> None:
    assert town.run(*LOADER, **ONE).returncode == 0
    before = town.stored()
    town.faults(scale)
    done = town.run(*LOADER, HISTORY_DAYS="30", **ONE)
    assert done.returncode == 1
    found = by_pair(done)["BRLBTC"]
    assert (found["error"], town.stored()) == ("PriceScaleChanged", before)
    assert SAID[scale] in found["reason"]
    assert "none of them is stored, they are in quarantine" in found["reason"]
    # The 25 days that were wanted, and those they were compared by.
    assert [bucket for _, bucket, _ in town.quarantined()] == [
        ago(number) for number in range(30 + 199 - 1, 30 + 199 - 1 - 25 - 3, -1)
    ]
    town.calm()
    assert town.run(*LOADER, HISTORY_DAYS="30", **ONE).returncode == 0
    assert town.stored() == whole(town, HISTORY_DAYS="30")


@pytest.mark.parametrize("scale", SCALES)
def test_a_hole_filled_at_another_scale(town: Town, scale: str) -> None:
    # Refused when it came, so that the next load asks for it again.
    town.faults(f"crossed,candle={ago(50)}")
    assert town.run(*LOADER, **ONE).returncode == 0
    before = town.stored()
    town.calm()
    town.faults(scale)
    done = town.run(*LOADER, **ONE)
    assert (done.returncode, town.stored()) == (1, before)
    assert SAID[scale] in by_pair(done)["BRLBTC"]["reason"]
    assert {bucket for _, bucket, _ in town.quarantined()} >= {ago(51), ago(50), ago(49)}
    town.calm()
    assert town.run(*LOADER, **ONE).returncode == 0
    assert town.stored() == whole(town)


@pytest.mark.parametrize("scale", SCALES)
def test_a_repair_at_another_scale(town: Town, scale: str) -> None:
    town.faults(f"missing,candle={ago(3)}")
    assert town.run(*LOADER, **ONE).returncode == 0
    before = town.stored()
    town.calm()
    town.faults(scale)
    done = town.run(*MONITOR, "--repair", **ONE)
    assert (done.returncode, town.stored()) == (1, before)
    assert f"BRLBTC 1d not repaired: The candles of BRLBTC 1d came with prices {SAID[scale]}" in (
        done.stdout
    )
    assert (ago(3)) in {bucket for _, bucket, _ in town.quarantined()}
    town.calm()
    done = town.run(*MONITOR, "--repair", **ONE)
    assert done.returncode == 0, done.stdout
    assert town.stored() == whole(town)


@pytest.mark.parametrize("scale", ["scale=100,after=1", "scale=/1000,times=1"])
def test_one_of_the_requests_of_a_first_load_at_another_scale(town: Town, scale: str) -> None:
    town.faults(scale)
    done = town.run(*LOADER, HISTORY_DAYS="365", **ONE)
    assert (done.returncode, town.stored()) == (1, [])
    assert by_pair(done)["BRLBTC"]["error"] == "PriceScaleChanged"
    town.calm()
    assert town.run(*LOADER, HISTORY_DAYS="365", **ONE).returncode == 0
    assert town.stored() == whole(town, HISTORY_DAYS="365")


@pytest.mark.parametrize("scale", SCALES)
def test_a_candle_that_was_corrected_before_does_not_hide_another_scale(
    town: Town, scale: str
) -> None:
    town.faults("revise=1.01")
    assert town.run(*LOADER, **ONE).returncode == 0
    before = town.stored()
    town.calm()
    town.faults(scale)
    done = town.run(*CATCH_UP, **ONE)
    assert (done.returncode, town.stored()) == (1, before)
    town.calm()
    assert town.run(*CATCH_UP, **ONE).returncode == 0
    assert town.stored() == whole(town)


@pytest.mark.parametrize("command", [LOADER, CATCH_UP])
def test_a_market_that_fell_to_a_tenth_in_its_newest_day_is_stored(
    town: Town, command: tuple[str, ...]
) -> None:
    town.faults(f"missing,candle={ago(0)}")
    assert town.run(*LOADER, **ONE).returncode == 0
    before = town.stored()
    town.calm()
    town.faults(f"revise=/10,prices=all,candle={ago(0)}")
    done = town.run(*command, **ONE)
    assert done.returncode == 0, done.stdout
    assert (by_pair(done)["BRLBTC"]["inserted"], town.quarantined()) == (1, [])
    assert town.stored()[:-1] == before


@pytest.mark.parametrize("scale", ["scale=10", "scale=/7"])
def test_a_coin_of_few_ticks_at_another_scale(tmp_path: Path, scale: str) -> None:
    now = time.time()
    ticks = Decimal("0.00000001")
    cheap = [
        Bar(ago(number), 23 * ticks, (27 + number % 5) * ticks, 19 * ticks, 21 * ticks, Decimal(1))
        for number in range(-1, 300)
    ]
    exchange = Exchange(ReplayBook({(Pair("BTC", "BRL"), Interval.DAY): cheap}), clock=lambda: now)
    with serve(exchange) as url:
        town = Town(url, tmp_path)
        assert town.run(*LOADER, **ONE).returncode == 0
        before = town.stored()
        town.faults(scale)
        for command, settings in ((CATCH_UP, ONE), (LOADER, {**ONE, "HISTORY_DAYS": "30"})):
            done = town.run(*command, **settings)
            assert (done.returncode, town.stored()) == (1, before)
            assert by_pair(done)["BRLBTC"]["error"] == "PriceScaleChanged"
        town.calm()
        assert town.run(*LOADER, **ONE, HISTORY_DAYS="30").returncode == 0
        assert town.stored() == whole(town, HISTORY_DAYS="30")


def test_new_candles_that_come_without_a_known_one_are_not_stored(town: Town) -> None:
    assert town.run(*LOADER, **ONE).returncode == 0
    whole_history = town.stored()
    for table in ("averages", "candles"):
        town.change(f"DELETE FROM {table} WHERE bucket > {ago(3)}")
    before = town.stored()
    town.faults("scale=100", *(f"missing,candle={ago(number)}" for number in (3, 4, 5)))
    done = town.run(*CATCH_UP, **ONE)
    assert done.returncode == 1
    found = by_pair(done)["BRLBTC"]
    assert (found["error"], town.stored()) == ("UpstreamNonsense", before)
    assert "came without a usable one of those that are known" in found["reason"]
    assert {bucket for _, bucket, _ in town.quarantined()} == {ago(2), ago(1), ago(0)}
    town.calm()
    assert town.run(*CATCH_UP, **ONE).returncode == 0
    assert town.stored() == whole_history


def test_an_exchange_that_sends_fewer_candles_than_it_is_asked_for_leaves_no_hole(
    tmp_path: Path,
) -> None:
    pair = Pair("BTC", "BRL")
    left = []
    for name, limit in (("short", 90), ("long", 1000)):
        (tmp_path / name).mkdir()
        exchange = Exchange(Simulation(3, {pair: None}), clock=time.time, page_limit=limit)
        with serve(exchange) as url:
            town = Town(url, tmp_path / name)
            done = town.run(*LOADER, HISTORY_DAYS="365", **ONE)
            assert done.returncode == 0
            found = by_pair(done)["BRLBTC"]
            assert (found["inserted"], found["absent"]) == (365 + 199, 0)
            left.append(town.stored())
    assert left[0] == left[1]
