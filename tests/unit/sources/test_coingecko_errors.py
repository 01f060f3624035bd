"""CoinGecko's error bodies, in every shape that was recorded, documented or met."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.errors import (
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.core.prices import PriceReply
from app.domain.fixed_point import as_decimal
from app.sources.coingecko import read_error
from tests.unit.sources.coingecko_fakes import BTC, ETH, ask, coingecko
from tests.unit.sources.upstream_fakes import NOW, Answer, FakeHost, answer

HTML = {"content-type": "text/html; charset=UTF-8"}
TEXT = {"content-type": "text/plain"}
PAGE = b"<!DOCTYPE html><title>Just a moment...</title>"


def coded(code: int, message: str = "words") -> dict[str, object]:
    return {"status": {"error_code": code, "error_message": message}}


def plain(text: str, status: int = 200) -> Answer:
    return answer(body=text.encode(), status=status, headers=TEXT)


ERRORS: list[tuple[Answer, type[UpstreamError], str]] = [
    # too often, in every shape, with its status and with 200
    (answer(coded(429, "You've exceeded"), 200), UpstreamUnavailable, "429 You've exceeded"),
    (answer({"error": coded(429)}), UpstreamUnavailable, "429 words"),
    (answer({"error_code": 429, "status": {"error_message": "slow"}}), UpstreamUnavailable, "slow"),
    (answer({"error": "You have exceeded the rate limit"}), UpstreamUnavailable, "rate limit"),
    (answer("Throttled"), UpstreamUnavailable, "Throttled"),
    (plain("Too Many Requests\n"), UpstreamUnavailable, "Too Many Requests"),
    (answer(coded(10006, "calls limit"), 429), UpstreamUnavailable, "PRICE_POLL_SECONDS"),
    # down
    (answer(coded(503)), UpstreamUnavailable, "503"),
    # keys and hosts
    (answer(coded(10002, "API Key Missing"), 401), UpstreamRejected, "set COINGECKO_API_KEY"),
    (answer(coded(10005, "limited to PRO"), 401), UpstreamRejected, "plan of COINGECKO_API_KEY"),
    (answer(coded(10010), 400), UpstreamRejected, "https://pro-api.coingecko.com/api/v3"),
    (answer(coded(10011), 400), UpstreamRejected, "=https://api.coingecko.com/api/v3"),
    (answer({"error": coded(10010)}, 400), UpstreamRejected, "a pro key in COINGECKO_API_KEY"),
    (
        answer(
            {"timestamp": "t", "error_code": 10011, "status": {"error_message": "demo"}},
            400,
        ),
        UpstreamRejected,
        "10011: demo): a demo key in COINGECKO_API_KEY",
    ),
    # wrong questions
    (answer(coded(99999, "new")), UpstreamRejected, "99999: new"),
    # blocks
    (answer({"error": "rate limit of your country"}, 403), UpstreamBlocked, "403"),
    (answer(coded(1020, "Access Denied")), UpstreamBlocked, "1020"),
    (plain("error code: 1020", 403), UpstreamBlocked, "1020"),
    (answer(body=PAGE, headers=HTML), UpstreamBlocked, "200, a page of HTML"),
    # neither prices nor an error that is known
    (plain("gm"), UpstreamNonsense, "not JSON at character 0: Expecting value (gm)"),
    (answer(["error"]), UpstreamNonsense, "no JSON object"),
]


@pytest.mark.parametrize(("reply", "kind", "names"), ERRORS)
def test_each_error_body_has_one_meaning_and_says_what_to_do(
    reply: Answer, kind: type[UpstreamError], names: str
) -> None:
    with pytest.raises(UpstreamError) as caught:
        ask(reply, BTC, ETH)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message.startswith(("api.coingecko.com ", "The reply about prices from api.coingecko"))
    assert names in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        "gm",
        {"bitcoin": {"usd": 1}},
        {"status": {"usd": 1, "last_updated_at": NOW}},
        {"error": {}},
        {"status": {"error_code": 0, "error_message": None}},
        {"error_code": True},
    ],
)
def test_what_is_no_error_body_is_not_taken_for_one(data: object) -> None:
    assert read_error(data) is None


NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([NOW, NOW * 1000, 67187.33, 1e-9, 1e300])
)
NAMES = ["error", "status", "error_code", "error_message", "code", "message", "usd", "bitcoin"]
WORDS = st.sampled_from([*NAMES, "ethereum", "last_updated_at", "Throttled", "", "\ud800"])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=12,
)
ENTRIES = st.dictionaries(st.sampled_from(["usd", "last_updated_at"]), JSON)
TABLES = st.dictionaries(st.sampled_from(["bitcoin", "ethereum", "status"]), ENTRIES | JSON)


def asked(reply: Answer) -> PriceReply | None:
    """The answer, None for an UpstreamError; whatever else is raised fails the test."""
    try:
        return coingecko(FakeHost([reply]), api_key="CG-key").prices([BTC, ETH], "usd")
    except UpstreamError:
        return None


@settings(deadline=None)
@given(
    data=JSON | TABLES,
    status=st.sampled_from([200, 204, 301, 400, 401, 403, 404, 422, 429, 500, 503]),
)
@example(data={"bitcoin": {"usd": 1, "last_updated_at": NOW}}, status=200)
def test_no_json_brings_anything_but_an_answer_about_each_coin_or_an_upstream_error(
    data: object, status: int
) -> None:
    reply = asked(answer(body=json.dumps(data).encode(), status=status))
    if reply is not None:
        coins = [price.coin for price in reply.prices] + [item.coin for item in reply.refused]
        assert sorted(coins, key=str) == [BTC, ETH]
        assert all(as_decimal(price.price) > 0 for price in reply.prices)
        assert all(price.priced_at <= NOW + 120 for price in reply.prices)
        assert all(item.reason.endswith(".") for item in reply.refused)
