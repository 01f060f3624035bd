"""Judge stored prices and daily closes by the rules of `app.domain.anomalies`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.core.market import Exact, Series, SeriesState
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
from app.domain.times import TOLERANCE, duration

AHEAD: Final = 2 * TOLERANCE
"""Seconds after our time from which a stamp lies in the future. Of two machines whose clocks are
right, one may be TOLERANCE ahead of a host's and the other as much behind."""

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

    `stale`: the price is not judged. By its own time, it was too old when it was collected, or is
    too old now; or all prices are stamped in the future.
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

    The order is that of arrival. With `as_of`, judge that stored price, even if newer ones are
    stored since. A stale price is neither judged nor compared with: an old quotation would look
    like an anomaly. Nor is one that is stamped in the future: a clock was wrong, and nobody knows
    how old the price is. A quotation that was collected several times counts once. Otherwise a
    second collection would hide a jump.
    """
    recent = _recent(store, symbol, rules, prices_needed(rule), int(now), as_of)
    judgement = judge([price.price for price in recent.fresh], rule)
    latest = recent.latest
    if latest is None:
        return PriceJudgement(None, None, False, judgement)
    problem = _problem(latest, rules.stale_after, int(now), recent.ahead)
    if problem:
        judgement = replace(
            judgement,
            outcome=Outcome.INSUFFICIENT,
            latest=latest.price,
            previous=None,
            change=None,
            usual=None,
            reason=f"The newest price {problem}: it is not judged.",
        )
    if recent.ahead and latest is not recent.ahead:
        judgement = replace(
            judgement,
            reason=f"{judgement.reason} A newer price {_ahead(recent.ahead, int(now))}: it is not "
            "used.",
        )
    previous = recent.fresh[-2] if len(recent.fresh) > 1 and not problem else None
    return PriceJudgement(latest, previous, bool(problem), judgement)


def _problem(latest: StoredPrice, stale_after: int, now: int, ahead: StoredPrice | None) -> str:
    """Why the price must not be judged, as the end of a sentence; empty if it may."""
    if latest is ahead:
        return _ahead(latest, now)
    limit = f"more than the {duration(stale_after)} after which a price is stale"
    if now - latest.priced_at > stale_after:
        age = duration(now - latest.priced_at)
        return f"is {age} old by its own time and this machine's clock, {limit}"
    if not is_fresh(latest, stale_after):
        age = duration(latest.collected_at - latest.priced_at)
        return f"was {age} old by its own time when it was collected, {limit}"
    return ""


def _ahead(price: StoredPrice, now: int) -> str:
    ahead = duration(max(price.collected_at, price.priced_at) - now)
    return (
        f"is stamped {ahead} in the future, by a clock that was ahead (unless this machine's is "
        "behind)"
    )


@dataclass(frozen=True, slots=True)
class _Recent:
    """The newest prices of a symbol.

    `latest` is the newest one that is not stamped in the future; if all are, the newest of them.
    `ahead` is the newest price of all where it is stamped in the future, else None. `fresh` holds
    the prices to judge, ascending.
    """

    latest: StoredPrice | None
    ahead: StoredPrice | None
    fresh: list[StoredPrice]


def _recent(
    store: PriceStore,
    symbol: str,
    rules: PriceRules,
    needed: int,
    now: int,
    as_of: StoredPrice | None,
) -> _Recent:
    """Read the newest prices, with up to `needed` of them to judge."""
    for limit in (needed + _EXTRA_FIRST_READ, _MOST_READ):
        stored = prices = store.newest(symbol, rules.currency, limit)
        if as_of is not None:
            prices = [as_of, *(price for price in stored if price.id < as_of.id)]
        past = [price for price in prices if price is as_of or not _is_ahead(price, now)]
        fresh = [price for price in reversed(past) if is_fresh(price, rules.stale_after)]
        quotations = _quotations(fresh)
        unjudgeable = bool(past) and not is_fresh(past[0], rules.stale_after)
        if unjudgeable or len(stored) < limit or len(quotations) >= needed:
            break
    ahead = prices[0] if prices and prices[0] not in past[:1] else None
    # A single quotation is compared with itself: the price has not changed.
    judged = (quotations if len(quotations) > 1 else fresh)[-needed:]
    return _Recent(past[0] if past else ahead, ahead, judged)


def _is_ahead(price: StoredPrice, now: int) -> bool:
    return max(price.collected_at, price.priced_at) > now + AHEAD


def _quotations(prices: Sequence[StoredPrice]) -> list[StoredPrice]:
    """Return each quotation (a price and its own time) once, as it was collected last."""
    latest: dict[tuple[int, Exact], StoredPrice] = {}
    for price in prices:
        quotation = (price.priced_at, price.price)
        latest.pop(quotation, None)
        latest[quotation] = price
    return list(latest.values())


def judge_closes(
    store: SeriesStore, series: Series, first: int, last: int, rule: Rule
) -> tuple[SeriesState, SeriesJudgement]:
    """Judge the stored closes of the buckets [first, last]. Raises StoreError."""
    step = series.step
    state, rows = store.rows(series, first - warm_up(rule) * step, last)
    buckets = [candle.bucket for candle, _ in rows]
    closes = [candle.close for candle, _ in rows]
    return state, judge_series(buckets, closes, step, rule, series.interval.ceil(first))
