"""Settings of spot prices and of the hosts that are asked: what cannot work stops the start."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import ConfigurationError, UnsupportedSymbol
from app.core.prices import Coin, Thresholds
from app.core.upstream import base_url_problem
from app.sources.http import UpstreamHttp
from tests.support.api import settings
from tests.unit.sources.upstream_fakes import OpenGate

BASE_URLS = ("mb_api_base_url", "mb_legacy_api_base_url", "coingecko_api_base_url")
USABLE = (
    "https://api.coingecko.com/api/v3",
    "http://127.0.0.1:8080/api/v4",
    "http://[::1]:8080/api/v4",
    "http://sandbox_1:8080",
    "https://user:pass@exchange.example.:443/v4",
)
UNUSABLE = (
    "https://exchange.example:99999/v4",
    "https://exchange.example:0",
    "https://exchange.example:http",
    "https://[::1/v4",
    "https://[zz]/v4",
    "https://256.1.1.1/v4",
    "https:///v4",
    "https://.example",
    "https://exchange..example",
    "https://-exchange.example",
    f"https://{'a' * 64}.example",
    f"https://{'a.' * 130}example",
    "https://ex change.example",
    "https://exchange.example/a b",
    "https://exchange.example\x00",
    "https://exchänge.example",
    "https://exchange.example/v4?key=1",
    "https://exchange.example/v4#part",
    "ftp://exchange.example",
    "exchange.example/v4",
    f"https://exchange.example/{'a' * 70_000}",
)


def refused(**values: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        settings(**values)
    return str(error.value)


@pytest.mark.parametrize("name", BASE_URLS)
@pytest.mark.parametrize("url", USABLE)
def test_a_base_url_is_taken_without_the_slash_at_its_end(name: str, url: str) -> None:
    assert getattr(settings(**{name: f" {url}/ "}), name) == url


@pytest.mark.parametrize("name", BASE_URLS)
@pytest.mark.parametrize("url", UNUSABLE)
def test_a_base_url_that_cannot_be_asked_stops_the_start_in_one_line(name: str, url: str) -> None:
    said = refused(**{name: url})
    assert said.startswith(f"{name.upper()}=")
    assert "write https://host/path" in said
    assert "\n" not in said.replace(url, "")


@given(
    scheme=st.sampled_from(["http", "https", "HTTP", "ftp", ""]),
    rest=st.text("aZ0-_.:/[]@%?#é \x00\\", max_size=20),
)
def test_whatever_the_settings_take_a_client_can_be_made_for(scheme: str, rest: str) -> None:
    url = f"{scheme}://{rest}"
    if not base_url_problem(url):
        UpstreamHttp(url, OpenGate()).close()


@pytest.mark.parametrize("key", ["a b", "CG-ä", '"CG-a"', "CG-a\r\nX-A: b", "k" * 513])
def test_what_cannot_be_a_key_stops_the_start_and_is_not_shown(key: str) -> None:
    said = refused(coingecko_api_key=key)
    assert said.startswith("COINGECKO_API_KEY: holds characters that no key has")
    assert key not in said


@pytest.mark.parametrize(("written", "read"), [("CG-abc", "CG-abc"), (" CG-abc\n", "CG-abc")])
def test_a_key_is_taken_without_the_blanks_around_it(written: str, read: str) -> None:
    key = settings(coingecko_api_key=written).coingecko_api_key
    assert key is not None
    assert key.get_secret_value() == read


@pytest.mark.parametrize("nothing", ["", "  "])
def test_an_empty_key_is_none(nothing: str) -> None:
    assert settings(coingecko_api_key=nothing).coingecko_api_key is None


def test_thresholds_may_be_of_any_collected_symbol_and_any_base_of_a_pair() -> None:
    found = settings(
        anomaly_threshold=" 0.05 , ada:0.1, XRP:0.2 ",
        allowed_symbols="BTC,ADA",
        allowed_pairs="BRLBTC,XRP-BRL",
    ).anomaly_threshold
    assert found == Thresholds(Decimal("0.05"), (("ADA", Decimal("0.1")), ("XRP", Decimal("0.2"))))
    assert found.of("BTC") == Decimal("0.05")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("0.05,", "missing at a comma"),
        (",0.05", "missing at a comma"),
        ("0.05,,ADA:0.1", "missing at a comma"),
        ("0.05,:0.1", "'' is no symbol"),
        ("0.05, :0.1", "'' is no symbol"),
        ("0.05,ADA:BTC:0.1", "'ADA:BTC' is no symbol"),
        ("0.05,ſol:0.1", "'ſol' is no symbol"),
        ("0.05,0.06", "two thresholds for all symbols"),
        ("0.05,ADA:0.1,ada:0.2", "two thresholds for ADA"),
        ("ADA:0.1", "no threshold for all symbols"),
        ("0.05,ADA:", "is not a plain decimal number"),
        ("0.05,ADA:0", "is not above 0"),
    ],
)
def test_thresholds_that_cannot_be_understood_stop_the_start(written: str, says: str) -> None:
    said = refused(anomaly_threshold=written)
    assert said.startswith(f"ANOMALY_THRESHOLD={written}: ")
    assert says in said
    assert "0.05" in said.removeprefix(f"ANOMALY_THRESHOLD={written}")


def test_a_threshold_of_a_symbol_that_nothing_is_known_of_names_those_that_are() -> None:
    said = refused(anomaly_threshold="0.05,DOGE:0.1", allowed_symbols="BTC,ADA")
    assert said.startswith("ANOMALY_THRESHOLD=DOGE:0.1 is for a symbol")
    assert said.endswith("use one of BTC, ADA, ETH")


@pytest.mark.parametrize("name", ["ſol", "ſOL", "ADA\u0131", "", " ", "S", "SOL:", "SOL:ſ"])
def test_a_symbol_is_plain_ascii(name: str) -> None:
    with pytest.raises(UnsupportedSymbol):
        Coin.parse(name)


def test_symbols_are_read_in_any_case() -> None:
    assert Coin.parse(" sol ") == Coin("SOL", "solana")
    assert Coin.parse("xrp:Ripple") == Coin("XRP", "ripple")
