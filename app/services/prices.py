"""Collect spot prices: one request for all coins, store the reply, publish what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.errors import StoreError, UpstreamUnavailable
from app.core.logging import structlog
from app.core.market import DAY
from app.core.prices import (
    Coin,
    PriceSource,
    PriceStore,
    RefusedPrice,
    StoredPrice,
)
from app.domain.anomalies import Judgement, RelativeRule
from app.events.types import AnomalyDetected, PriceCollected, PriceRefused, Publish
from app.services.anomalies import AHEAD, PriceRules, is_fresh, judge_newest


@dataclass(frozen=True, slots=True)
class Collection:
    """The result of one request. Each requested coin is either in `stored` or in `refused`.

    `collected_at` is PriceReply.received_at.
    """

    stored: tuple[StoredPrice, ...]
    refused: tuple[RefusedPrice, ...]
    collected_at: int


def collect(
    source: PriceSource,
    store: PriceStore,
    coins: Sequence[Coin],
    rules: PriceRules,
    *,
    publish: Publish,
) -> Collection:
    """Request the prices of `coins` from `source` at once, store them, then publish the events.

    Raises UpstreamError if the source does not answer, BudgetSpent if it may not be asked, and
    StoreError; nothing is stored then. Once the prices are stored, nothing is raised: a judgement
    that fails is logged.
    """
    reply = source.prices(coins, rules.currency)
    stored = store.add(reply.prices, reply.received_at) if reply.prices else []
    for price in stored:
        judgement = _judgement(store, price, rules)
        if judgement is not None and judgement.anomalous:
            publish(AnomalyDetected(price.symbol, price.price, price.currency, judgement.reason))
        publish(
            PriceCollected(
                price.symbol,
                price.price,
                price.currency,
                price.priced_at,
                price.collected_at,
                stale=not is_fresh(price, rules.stale_after),
                anomalous=None if judgement is None else judgement.anomalous,
            )
        )
    for refused in reply.refused:
        publish(PriceRefused(refused.coin.symbol, refused.reason))
    return Collection(tuple(stored), reply.refused, reply.received_at)


def collect_unless_recent(
    source: PriceSource,
    store: PriceStore,
    coin: Coin,
    rules: PriceRules,
    *,
    least_age: int,
    now: float,
    publish: Publish,
) -> tuple[StoredPrice, int | None]:
    """Return the newest stored price if it is younger than `least_age` seconds; else collect one.

    With a price that was stored before comes its age in whole seconds, else None. A price that is
    stamped after `now`, by a wrong clock, has no age: it is not used. Raises as `collect` does, and
    UpstreamUnavailable where the source has no usable price.
    """
    newest = store.newest(coin.symbol, rules.currency, 1) if least_age else []
    for price in newest:
        age = now - price.collected_at
        if 0 <= age < least_age:
            return price, int(age)
    collection = collect(source, store, [coin], rules, publish=publish)
    if not collection.stored:
        raise UpstreamUnavailable(collection.refused[0].reason, host="the price source")
    return collection.stored[0], None


def _judgement(store: PriceStore, price: StoredPrice, rules: PriceRules) -> Judgement | None:
    """Judge the price against the one before it. If that fails, log it and return None."""
    rule = RelativeRule(rules.thresholds.of(price.symbol))
    try:
        return judge_newest(
            store, price.symbol, rules, rule, now=price.collected_at, as_of=price
        ).judgement
    except StoreError as error:
        structlog.get_logger().error(
            "price_not_judged", symbol=price.symbol, id=price.id, reason=str(error)
        )
        return None


def prune(store: PriceStore, retention_days: int, now: float, collection: Collection) -> int:
    """Remove prices older than the retention, or stamped in the future; return how many.

    0 days keeps all prices. `now` is our clock; the source's is in the last `collection`, in its
    time and in its prices' own. A price goes if it is too old, or in the future, by all of them:
    one wrong clock removes nothing, also where the source's reply names no time.
    """
    if not retention_days:
        return 0
    newest = [max(price.priced_at for price in collection.stored)] if collection.stored else []
    times = [int(now), collection.collected_at, *newest]
    return store.prune(min(times) - retention_days * DAY, max(times) + AHEAD)


PRUNE_EVERY: Final = 3_600.0
"""Seconds between two prunings of a running collector."""
