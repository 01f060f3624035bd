"""Names as the two sources write them: accepted in one spelling, and never two series for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import names
from app.core.errors import UnsupportedPair, UnsupportedSymbol
from app.core.market import Pair
from app.core.prices import Coin, Thresholds
from tests.support.api import refused, settings

COINS = [
    ("S:sonic-3", "S", "sonic-3"),
    ("a:vaulta", "A", "vaulta"),
    ("0G:zero-gravity", "0G", "zero-gravity"),
    ("1000sats:1000sats-ordinals", "1000SATS", "1000sats-ordinals"),
    ("$wif:dogwifcoin", "$WIF", "dogwifcoin"),
    ("LUNC.e:terra-luna-classic", "LUNC.E", "terra-luna-classic"),
    ("usd+:usd", "USD+", "usd"),
    ("btc++:ptokens-btc-2", "BTC++", "ptokens-btc-2"),
    ("3crv-f_x:lp-3pool-curve", "3CRV-F_X", "lp-3pool-curve"),
    ("1/2 ape:half-ape", "1/2 APE", "half-ape"),
    ("i❤️u?#%&:heart", "I❤️U?#%&", "heart"),
    ("币安人生:binance-life", "币安人生", "binance-life"),
    ("Ωé:omega", "ΩÉ", "omega"),
    ("straße:strasse-2", "STRAßE", "strasse-2"),
    ("01111010011110000110001001110100:01-token", "01111010011110000110001001110100", "01-token"),
    ("GIB:_", "GIB", "_"),
    ("FEI:-2", "FEI", "-2"),
    ("AUSDC:aave-v3-usdc(bridged)", "AUSDC", "aave-v3-usdc(bridged)"),
    ("ORB:[bridged] orb token", "ORB", "[bridged] orb token"),
    ("X:a:b/c?d=e&f#g%20", "X", "a:b/c?d=e&f#g%20"),
    ("BTC:bitcoin\r", "BTC", "bitcoin"),
]


@pytest.mark.parametrize(("text", "symbol", "coin_id"), COINS)
def test_a_coin_may_have_any_name_that_can_be_told_apart(
    text: str, symbol: str, coin_id: str
) -> None:
    assert Coin.parse(text) == Coin(symbol, coin_id)
    assert settings(allowed_symbols=text).allowed_symbols == (Coin(symbol, coin_id),)
    assert Thresholds.parse(f"0.05,{text.partition(':')[0]}:0.1").by_symbol[0][0] == symbol


@pytest.mark.parametrize(
    ("text", "pair", "legacy"),
    [
        ("S-BRL", Pair("S", "BRL"), "BRLS"),
        ("brls", Pair("S", "BRL"), "BRLS"),
        ("BRL0G", Pair("0G", "BRL"), "BRL0G"),
        ("usdt-brl", Pair("USDT", "BRL"), "BRLUSDT"),
        ("USDT", Pair("T", "USD"), "USDT"),
        ("A-B.c_1-brl", Pair("A-B.C_1", "BRL"), "BRLA-B.C_1"),
        ("币安人生-BRL", Pair("币安人生", "BRL"), "BRL币安人生"),
    ],
)
def test_a_pair_may_have_any_currencies_that_can_be_told_apart(
    text: str, pair: Pair, legacy: str
) -> None:
    assert Pair.parse(text) == pair == Pair.parse(pair.symbol)
    assert pair.legacy == legacy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A\x00B:a", "nobody sees"),
        ("A\u202eB:a", "nobody sees"),
        ("A\u200bB:a", "nobody sees"),
        ("A:a\u200db", "nobody sees"),
        ("..:a", "is no name"),
        (":a", "is no name"),
        ("A:", "is no name"),
        ("A:a,b", "separates names"),
        ("A:\u017f", "is no letter of an id"),
        (f"{'A' * 41}:a", "has 41 characters and at most 40 are stored"),
        ("A:" + "a" * 201, "has 201 characters and at most 200"),
        ("WIF", "is not a known symbol"),
    ],
)
def test_what_cannot_be_a_coin_is_refused_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(UnsupportedSymbol, match=says) as caught:
        Coin.parse(text)
    assert "SYMBOL:id" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A\x00B-BRL", "nobody sees"),
        ("A/B-BRL", "separates names"),
        ("BTC_BRL", r"is not a trading pair: did you mean BRLBTC \(or BTC-BRL\)\? Write"),
        ("BTC BRL", r"did you mean BRLBTC \(or BTC-BRL\)\?"),
        ("BTCBRL", r"did you mean BRLBTC \(or BTC-BRL\)\?"),
        ("btc/brl", r"did you mean BRLBTC \(or BTC-BRL\)\?"),
        ("BRL_BTC", r"did you mean BRLBTC \(or BTC-BRL\)\?"),
        ("ethbrl", r"did you mean BRLETH \(or ETH-BRL\)\?"),
        ("usdtbrl", r"did you mean BRLUSDT \(or USDT-BRL\)\?"),
        ("ETHBTC", r"did you mean BTCETH \(or ETH-BTC\)\?"),
        ("X-BRL;Y-BRL", "separates names"),
        ("0123456789ABC-BRL", "has 13 characters"),
        ("-BRL", "is not a trading pair"),
        ("BTC-", "is not a trading pair"),
        ("BTC-btc", "is not a trading pair"),
        ("BRL", "is not a trading pair"),
        ("uſds", "is not a trading pair"),
        ("", "is not a trading pair"),
    ],
)
def test_what_cannot_be_a_pair_is_refused_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(UnsupportedPair, match=says) as caught:
        Pair.parse(text)
    assert "BASE-QUOTE such as BTC-BRL" in str(caught.value)


@given(st.text(max_size=40))
def test_a_name_has_one_spelling_and_it_is_its_own(text: str) -> None:
    try:
        name = names.symbol(text)
    except names.UnusableName:
        return
    assert names.symbol(name) == name == names.cased(name)
    assert names.symbol(f" {text}\r\n") == name
    assert names.skeleton(name) == names.skeleton(text.strip()) or " " in name


@pytest.mark.parametrize(
    ("symbols", "says"),
    [
        ("é:a,e\u0301:b", "names one symbol twice"),
        ("$wif:a,$WIF:b", "names one symbol twice"),
        ("BTC,ＢＴＣ:b", "cannot be told apart, BTC and ＢＴＣ"),
        ("SOL,ſOL:b", "cannot be told apart, SOL and ſOL"),
        ("❤:a,❤\ufe0f:b", "cannot be told apart"),
    ],
)
def test_two_symbols_that_look_the_same_are_not_two_series(symbols: str, says: str) -> None:
    said = refused(allowed_symbols=symbols)
    assert said.startswith("ALLOWED_SYMBOLS=")
    assert says in said


def test_two_pairs_with_one_spelling_are_not_both_served() -> None:
    assert settings(allowed_pairs="TX-USD").allowed_pairs == (Pair("TX", "USD"),)
    said = refused(allowed_pairs="X-USDT,BTC-BRL,TX-USD")
    assert said.startswith("ALLOWED_PAIRS=")
    assert "X-USDT and TX-USD (both are read as USDTX); remove one of them" in said
