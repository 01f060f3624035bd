"""Spot prices: POST /collect-once, GET /history, /anomaly, /supported-symbols."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from app.api.dependencies import ContextDep, NoParameters
from app.api.openapi import SYMBOL, JsonBytes, json_reply, problems, wrong_method
from app.api.price_requests import ANOMALY, HISTORY, AnomalyDep, CoinDep, HistoryDep
from app.core.errors import (
    RepeatedParameter,
    ReversedPeriod,
    StoreUnavailable,
    UnsupportedSymbol,
    UpstreamUnavailable,
)
from app.core.prices import StoredPrice
from app.domain import rendering
from app.domain.anomalies import Judgement
from app.schemas.prices import Price, PriceAnomaly, SupportedSymbols
from app.services.anomalies import PriceJudgement, PriceRules, is_fresh, judge_newest
from app.services.prices import collect

router = APIRouter(tags=["Prices"], default_response_class=JsonBytes)

_PRICE: Final = {
    "id": 17,
    "symbol": "BTC",
    "price": 67187.33,
    "currency": "usd",
    "timestamp": 1711356330,
    "priced_at": 1711356300,
    "stale": False,
}
_ANOMALY: Final = {
    "symbol": "BTC",
    "anomaly": True,
    "latest_price": 71231.5,
    "previous_price": 67187.33,
    "relative_change": 0.06019276,
    "usual_change": 0.0,
    "threshold": 0.05,
    "method": "relative",
    "outcome": "anomalous",
    "currency": "usd",
    "timestamp": 1711356630,
    "stale": False,
    "message": "The price rose by 6.019276 %; that exceeds the threshold of 5 %.",
}


@router.post(
    "/collect-once/{symbol}",
    summary="Ask for one price now, and store it",
    responses={
        200: json_reply("The stored price.", Price, _PRICE),
        **problems(UnsupportedSymbol, StoreUnavailable, UpstreamUnavailable),
        **wrong_method("POST"),
    },
    openapi_extra={"parameters": [SYMBOL]},
    dependencies=[NoParameters],
)
def collect_once(coin: CoinDep, context: ContextDep) -> Response:
    """Always asks the source, for this symbol only; answers after the price is stored.

    When the source gives no usable price, or cannot be asked yet because others are before this
    request, nothing is stored, and the reply is a 503, with `Retry-After` where it is known when to
    come again.
    """
    runtime = context.runtime
    rules = context.price_rules
    found = collect(
        runtime.price_source,
        runtime.prices,
        runtime.clock,
        [coin],
        rules,
        publish=runtime.events.publish,
    )
    if not found.stored:
        raise UpstreamUnavailable(found.refused[0].reason, host="the price source")
    return JsonBytes(rendering.price(found.stored[0], stale=_stale(found.stored[0], rules)))


@router.get(
    "/history/{symbol}",
    summary="Collected prices, newest first",
    responses={
        200: json_reply("The prices, newest first.", list[Price], [_PRICE]),
        **problems(RepeatedParameter, UnsupportedSymbol, ReversedPeriod, StoreUnavailable),
    },
    openapi_extra={"parameters": [SYMBOL, *HISTORY.documented()]},
)
def history(asked: HistoryDep, context: ContextDep) -> Response:
    """By time of collection (`timestamp`), then id. `priced_at` is the price's own time.

    `stale` marks a price that was too old, by its own time, when it was collected.
    """
    rules = context.price_rules
    coin, limit, first, last = asked
    found = context.runtime.prices.newest(coin.symbol, rules.currency, limit, first, last)
    rows = (rendering.price(price, stale=_stale(price, rules)) for price in found)
    return JsonBytes(b"[" + b",".join(rows) + b"]")


@router.get(
    "/anomaly/{symbol}",
    summary="Whether the newest price is out of the ordinary",
    responses={
        200: json_reply("The judgement.", PriceAnomaly, _ANOMALY),
        **problems(RepeatedParameter, UnsupportedSymbol, StoreUnavailable),
    },
    openapi_extra={"parameters": [SYMBOL, *ANOMALY.documented()]},
)
def anomaly(asked: AnomalyDep, context: ContextDep) -> Response:
    """Compares the newest price with the one before it, or with the recent changes.

    A quotation that was collected several times counts once. `method=relative` (the default): the
    change must exceed the threshold; exactly the threshold is normal. `method=robust`: the change against the median and the MAD of the recent changes. With
    too few prices, or a stale one, `anomaly` is false and `message` says so.
    """
    runtime, rules, (coin, rule) = context.runtime, context.price_rules, asked
    found = judge_newest(runtime.prices, coin.symbol, rules, rule, runtime.clock())
    return JsonBytes(rendering.flat(_judged(coin.symbol, rules, found)))


@router.get(
    "/supported-symbols",
    summary="Whose prices are collected",
    responses={
        200: json_reply(
            "The symbols, and what the source calls them.",
            SupportedSymbols,
            {"symbols": ["BTC", "ETH"], "mappings": {"BTC": "bitcoin", "ETH": "ethereum"}},
        ),
        **problems(),
    },
    dependencies=[NoParameters],
)
def supported_symbols(context: ContextDep) -> Response:
    """The symbols of ALLOWED_SYMBOLS, and CoinGecko's id of each."""
    coins = context.runtime.settings.allowed_symbols
    body = SupportedSymbols(
        symbols=tuple(coin.symbol for coin in coins),
        mappings={coin.symbol: coin.id for coin in coins},
    )
    return JsonBytes(body.model_dump_json().encode())


def _stale(price: StoredPrice, rules: PriceRules) -> bool:
    return not is_fresh(price, rules.stale_after)


def _judged(symbol: str, rules: PriceRules, found: PriceJudgement) -> rendering.Flat:
    judgement: Judgement = found.judgement
    return {
        "symbol": symbol,
        "anomaly": judgement.anomalous,
        "latest_price": rendering.decimal(judgement.latest),
        "previous_price": rendering.decimal(judgement.previous),
        "relative_change": rendering.decimal(judgement.change),
        "usual_change": rendering.decimal(judgement.usual),
        "threshold": rendering.decimal(judgement.threshold),
        "method": judgement.method.value,
        "outcome": judgement.outcome.value,
        "currency": rules.currency,
        "timestamp": None if found.latest is None else found.latest.collected_at,
        "stale": found.stale,
        "message": judgement.reason,
    }
