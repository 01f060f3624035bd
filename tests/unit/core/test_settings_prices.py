"""Settings of spot prices: what cannot work stops the start."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.errors import UnsupportedSymbol
from app.core.prices import Coin, Thresholds
from tests.support.api import refused, settings


@pytest.mark.parametrize("key", ["a b", "CG-ä", '"CG-a"', "CG-a\r\nX-A: b", "k" * 513])
def test_what_cannot_be_a_key_stops_the_start_and_is_not_shown(key: str) -> None:
    said = refused(coingecko_api_key=key)
    assert said.startswith("COINGECKO_API_KEY: ")
    assert "copy it again" in said
    assert key not in said


def test_a_key_is_taken_without_the_blanks_around_it_and_blanks_alone_are_none() -> None:
    key = settings(coingecko_api_key=" CG-abc\n").coingecko_api_key
    assert key is not None
    assert key.get_secret_value() == "CG-abc"
    assert settings(coingecko_api_key="  ").coingecko_api_key is None


def test_thresholds_may_be_of_any_collected_symbol_and_any_base_of_a_pair() -> None:
    found = settings(
        anomaly_threshold=" 0.05 , ada:0.1, XRP:0.2 ",
        allowed_symbols="BTC,ADA",
        allowed_pairs="BRLBTC,XRP-BRL",
    ).anomaly_threshold
    assert found == Thresholds(Decimal("0.05"), (("ADA", Decimal("0.1")), ("XRP", Decimal("0.2"))))
    assert found.of("BTC") == Decimal("0.05")
    said = refused(anomaly_threshold="0.05,DOGE:0.1", allowed_symbols="BTC,ADA")
    assert said.startswith("ANOMALY_THRESHOLD=DOGE:0.1 ")
    assert said.endswith("use one of BTC, ADA, ETH")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("0.05,,ADA:0.1", "is for no symbol"),
        ("0.05,ADA:BTC:0.1", "is for no symbol"),
        ("0.05,ADA:0.1,ada:0.2", "one a second time"),
        ("ADA:0.1", "no threshold for all symbols"),
        ("0.05,ADA:0", "is not above 0"),
    ],
)
def test_thresholds_that_cannot_be_understood_stop_the_start(written: str, says: str) -> None:
    said = refused(anomaly_threshold=written)
    assert said.startswith(f"ANOMALY_THRESHOLD={written}: ")
    assert says in said


@pytest.mark.parametrize("name", ["ſol", "ADA\u0131", "", " ", "SOL:", "SOL:ſ"])
def test_a_symbol_without_its_id_is_one_of_the_known_ones(name: str) -> None:
    with pytest.raises(UnsupportedSymbol):
        Coin.parse(name)


def test_symbols_are_read_in_any_case() -> None:
    assert Coin.parse(" sol ") == Coin("SOL", "solana")
    assert Coin.parse("xrp:Ripple") == Coin("XRP", "ripple")
