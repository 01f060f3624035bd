"""Collecting spot prices: ask once for all coins, store what came, say what happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from app.core.errors import StoreError
from app.core.market import DAY
from app.core.ports import Clock
from app.core.prices import (
    Coin,
    PriceSource,
    PriceStore,
    RefusedPrice,
    StoredPrice,
)
from app.domain.anomalies import Judgement, RelativeRule
from app.events.types import AnomalyDetected, Event, PriceCollected, PriceRefused
from app.services.anomalies import PriceRules, is_fresh, judge_newest

Publish = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Collection:
    """What one question brought: each asked coin is in exactly one of `stored` and `refused`."""

    stored: tuple[StoredPrice, ...]
    refused: tuple[RefusedPrice, ...]


def collect(
    source: PriceSource,
    store: PriceStore,
    clock: Clock,
    coins: Sequence[Coin],
    rules: PriceRules,
    *,
    publish: Publish,
) -> Collection:
    """Ask `source` for `coins` in one request, store what it says, then publish it.

    Raises UpstreamError where nothing was answered, and StoreError; nothing is stored then. Once the
    prices are stored nothing is raised any more: a judgement that fails is logged.
    """
    reply = source.prices(coins, rules.currency)
    stored = store.add(reply.prices, int(clock())) if reply.prices else []
    for price in stored:
        judgement = _judged(store, price, rules)
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
    return Collection(tuple(stored), reply.refused)


def _judged(store: PriceStore, price: StoredPrice, rules: PriceRules) -> Judgement | None:
    """Judge the price against the one before it; None, and a line in the log, where that failed."""
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


def prune(store: PriceStore, retention_days: int, now: float) -> int:
    """Remove prices older than the retention; 0 days keeps all. Returns how many were removed."""
    return store.prune(int(now) - retention_days * DAY) if retention_days else 0


PRUNE_EVERY: Final = 3_600.0
"""Seconds between two prunings of a running collector."""
