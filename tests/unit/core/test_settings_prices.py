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


@pytest.mark.parametrize("name", ["mb_api_base_url", "mb_legacy_api_base_url"])
def test_a_login_is_not_sent_unencrypted_to_another_machine(name: str) -> None:
    said = refused(**{name: "http://reader:quite-secret@exchange.example/v4"})
    assert said.startswith(f"{name.upper()} is http, and its user and password would cross")
    assert "https://" in said
    assert "quite-secret" not in said
    for base_url in ("http://a:b@127.0.0.1:8080", "https://a:b@h.example", "http://h.example"):
        settings(**{name: base_url})


@pytest.mark.parametrize("host", ["sandbox:8080", "10.0.0.7", "localhost.example", "[2001:db8::7]"])
def test_a_key_is_not_sent_unencrypted_to_another_machine(host: str) -> None:
    said = refused(coingecko_api_base_url=f"http://{host}/api/v3", coingecko_api_key="CG-secret")
    assert said.startswith("COINGECKO_API_BASE_URL is http, and COINGECKO_API_KEY would cross")
    assert "CG-secret" not in said
    settings(coingecko_api_base_url=f"http://{host}/api/v3")


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:8080", "http://[::1]", "http://localhost", "HTTPS://h.example"]
)
def test_a_key_is_sent_to_this_machine_or_encrypted(base_url: str) -> None:
    settings(coingecko_api_base_url=base_url, coingecko_api_key="CG-secret")
