"""Spot prices: POST /collect-once, GET /history, /anomaly, /supported-symbols."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import bodies, heavy_reads
from app.api.documented import (
    HISTORY_HEADERS,
    PRICE_HEADERS,
    conditional_replies,
    json_reply,
    problems,
    wrong_method,
)
from app.api.models import (
    ANOMALY_EXAMPLE,
    HISTORY_EXAMPLE,
    PRICE_EXAMPLE,
    SYMBOLS_EXAMPLE,
    CollectedPrice,
    PriceAnomaly,
    SupportedSymbols,
)
from app.api.negotiation import JsonOnly
from app.api.parameters import (
    AnomalyDep,
    CoinDep,
    ContextDep,
    HistoryDep,
    IfNoneMatch,
    NoParameters,
)
from app.api.queries import ANOMALY, HISTORY, symbol_parameters
from app.api.responses import JsonBytes, conditional_response, reason_header, tagged_reply
from app.core.errors import (
    BudgetSpent,
    Overloaded,
    RepeatedParameter,
    ReversedPeriod,
    StoreUnavailable,
    UnsupportedSymbol,
    UpstreamUnavailable,
)
from app.core.prices import StoredPrice
from app.services.anomalies import judge_newest
from app.services.prices import collect_unless_recent
from app.services.reasons import no_prices

router = APIRouter(tags=["Prices"], default_response_class=JsonBytes, dependencies=[JsonOnly])


@router.post(
    "/collect-once/{symbol:path}",
    operation_id="collectPrice",
    summary="Fetch one price now, and store it",
    responses={
        200: json_reply("The price, stored.", CollectedPrice, PRICE_EXAMPLE, PRICE_HEADERS),
        **problems(UnsupportedSymbol, BudgetSpent, StoreUnavailable, UpstreamUnavailable),
        **wrong_method("POST"),
    },
    openapi_extra=symbol_parameters(),
    dependencies=[NoParameters],
)
async def collect_once(coin: CoinDep, context: ContextDep) -> Response:
    """Asks the source for this symbol only, and answers after the price is stored.

    A stored price that is younger than `COLLECT_MIN_SECONDS` is the reply instead, with its `Age`,
    and nothing is asked. Requests for one symbol at the same time share one call.

    Where the rate limiter has no free turn in time, or the rest of the month's calls is reserved
    for the collector, the reply is 429 with `Retry-After`. Where the source has no usable price, it
    is 503. Nothing is stored then.
    """
    runtime = context.runtime
    rules = runtime.price_rules
    least_age = runtime.settings.collect_min_seconds

    def work() -> tuple[StoredPrice, int | None]:
        return collect_unless_recent(
            context.price_source,
            runtime.prices,
            coin,
            rules,
            least_age=least_age,
            now=runtime.clock(),
            publish=runtime.events.publish,
        )

    if least_age:
        price, age = await context.collections.outcome(coin.symbol, work)
    else:
        price, age = await run_in_threadpool(work)
    body = bodies.price(price, rules)
    return JsonBytes(body, headers=None if age is None else {"Age": str(age)})


@router.get(
    "/history/{symbol:path}",
    operation_id="listPrices",
    summary="Collected prices, newest first",
    responses={
        **conditional_replies(
            "The prices, newest first.", list[CollectedPrice], HISTORY_EXAMPLE, HISTORY_HEADERS
        ),
        **problems(
            RepeatedParameter, UnsupportedSymbol, ReversedPeriod, StoreUnavailable, Overloaded
        ),
    },
    openapi_extra=symbol_parameters(HISTORY),
)
async def history(
    request: HistoryDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """By arrival: the id. `timestamp` is the time of collection, `priced_at` the price's own time.

    `stale` marks a price whose own time is too long before the time of its collection.
    """
    rules = context.runtime.price_rules
    coin, limit, first, last = request

    def answer() -> Response:
        prices = context.runtime.prices.newest(coin.symbol, rules.currency, limit, first, last)
        rows = (bodies.price(price, rules) for price in prices)
        headers = []
        if not prices:
            in_period = first is not None or last is not None
            headers.append(reason_header(no_prices(coin.symbol, in_period=in_period)))
        return conditional_response(tagged_reply(b"[" + b",".join(rows) + b"]", headers), held)

    return await heavy_reads.read(context, connection, limit, answer)


@router.get(
    "/anomaly/{symbol:path}",
    operation_id="getPriceAnomaly",
    summary="Whether the newest price is out of the ordinary",
    responses={
        200: json_reply("The judgement.", PriceAnomaly, ANOMALY_EXAMPLE),
        **problems(RepeatedParameter, UnsupportedSymbol, StoreUnavailable),
    },
    openapi_extra=symbol_parameters(ANOMALY),
)
def anomaly(request: AnomalyDep, context: ContextDep) -> Response:
    """Compares the newest price with the one before it, or with the recent changes.

    A quotation that was collected several times counts once. `method=relative` (the default): the
    change must exceed the threshold; exactly the threshold is normal. `method=robust`: the change
    is judged against the median and the median absolute deviation of the recent changes. With too
    few prices, or a stale one, `anomaly` is false and `message` says so. A price that is stamped in
    the future is neither judged nor compared with.
    """
    runtime, rules, (coin, rule) = context.runtime, context.runtime.price_rules, request
    verdict = judge_newest(runtime.prices, coin.symbol, rules, rule, runtime.clock())
    return JsonBytes(bodies.anomaly(coin.symbol, rules, verdict))


@router.get(
    "/supported-symbols",
    operation_id="listSymbols",
    summary="Which symbols' prices are collected",
    responses={
        200: json_reply(
            "The symbols, and what the source calls them.", SupportedSymbols, SYMBOLS_EXAMPLE
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
