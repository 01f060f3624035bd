"""Judge stored prices and daily closes by the rules of `app.domain.anomalies`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.core.market import Series, SeriesState
from app.core.ports import SeriesStore
from app.core.prices import PriceStore, StoredPrice, Thresholds
from app.domain.anomalies import (
    Judgement,
    Outcome,
    Rule,
    SeriesJudgement,
    judge,
    judge_series,
    prices_needed,
    warm_up,
)

_EXTRA_FIRST_READ: Final = 50
"""Prices read at first beyond those that a rule needs: some of them are stale or repeated."""

_MOST_READ: Final = 10_000
"""The most prices read to judge one."""


@dataclass(frozen=True, slots=True)
class PriceRules:
    """Which prices are judged, and how: prices in `currency`, fresh for `stale_after` seconds."""

    currency: str
    thresholds: Thresholds
    stale_after: int


@dataclass(frozen=True, slots=True)
class PriceJudgement:
    """The judgement of a symbol's newest price. `latest` is None if no price is stored.

    `stale`: by its own time, the price was too old when it was collected, or is too old now. A
    stale price is not judged.
    """

    latest: StoredPrice | None
    previous: StoredPrice | None
    stale: bool
    judgement: Judgement


def is_fresh(price: StoredPrice, stale_after: int) -> bool:
    """Return whether the price was current when it was collected."""
    return price.collected_at - price.priced_at <= stale_after


def judge_newest(
    store: PriceStore,
    symbol: str,
    rules: PriceRules,
    rule: Rule,
    now: float,
    as_of: StoredPrice | None = None,
) -> PriceJudgement:
    """Judge the newest price of a symbol against the fresh prices before it. Raises StoreError.

    With `as_of`, judge that stored price, even if newer ones are stored since. A stale price is
    neither judged nor compared with: an old quotation would look like an anomaly. A quotation that
    was collected several times counts once. Otherwise a second collection would hide a jump.
    """
    prices, fresh = _recent(store, symbol, rules, prices_needed(rule), as_of)
    judgement = judge([price.price for price in fresh], rule)
    latest = prices[0] if prices else None
    if latest is None:
        return PriceJudgement(None, None, False, judgement)
    if not is_fresh(latest, rules.stale_after) or now - latest.priced_at > rules.stale_after:
        age = int(now) - latest.priced_at
        reason = (
            f"The newest price is {age} s old by its own time, more than the {rules.stale_after} s "
            "after which a price is stale: it is not judged."
        )
        unjudged = replace(
            judgement,
            outcome=Outcome.INSUFFICIENT,
            latest=latest.price,
            previous=None,
            change=None,
            usual=None,
            reason=reason,
        )
        return PriceJudgement(latest, None, True, unjudged)
    return PriceJudgement(latest, fresh[-2] if len(fresh) > 1 else None, False, judgement)


def _recent(
    store: PriceStore, symbol: str, rules: PriceRules, needed: int, as_of: StoredPrice | None
) -> tuple[list[StoredPrice], list[StoredPrice]]:
    """Return the newest prices, newest first, and up to `needed` of them to judge, ascending."""
    last = None if as_of is None else as_of.collected_at
    for limit in (needed + _EXTRA_FIRST_READ, _MOST_READ):
        stored = prices = store.newest(symbol, rules.currency, limit, last=last)
        if as_of is not None:
            prices = [as_of, *(price for price in stored if _order(price) < _order(as_of))]
        fresh = [price for price in reversed(prices) if is_fresh(price, rules.stale_after)]
        quotations = _quotations(fresh)
        unjudgeable = not prices or not is_fresh(prices[0], rules.stale_after)
        if unjudgeable or len(stored) < limit or len(quotations) >= needed:
            break
    # A single quotation is compared with itself: the price has not changed.
    return prices, (quotations if len(quotations) > 1 else fresh)[-needed:]


def _quotations(prices: Sequence[StoredPrice]) -> list[StoredPrice]:
    """Return each quotation (a price and its own time) once, as it was collected last."""
    latest: dict[tuple[int, int], StoredPrice] = {}
    for price in prices:
        quotation = (price.priced_at, price.price)
        latest.pop(quotation, None)
        latest[quotation] = price
    return list(latest.values())


def _order(price: StoredPrice) -> tuple[int, int]:
    return price.collected_at, price.id


def judge_closes(
    store: SeriesStore, series: Series, first: int, last: int, rule: Rule
) -> tuple[SeriesState, SeriesJudgement]:
    """Judge the stored closes of the buckets [first, last]. Raises StoreError."""
    step = series.step
    state, rows = store.rows(series, first - warm_up(rule) * step, last)
    buckets = [candle.bucket for candle, _ in rows]
    closes = [candle.close for candle, _ in rows]
    return state, judge_series(buckets, closes, step, rule, series.interval.ceil(first))
