"""Judging stored prices and daily closes by the rules of `app.domain.anomalies`."""

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

_NEAR: Final = 50
_FAR: Final = 10_000
"""How many prices beyond those that a rule needs are read for a start, as stale and repeated ones lie
among them, and how many at most."""


@dataclass(frozen=True, slots=True)
class PriceRules:
    """Which prices are judged, and how: of one currency, fresh for `stale_after` seconds."""

    currency: str
    thresholds: Thresholds
    stale_after: int


@dataclass(frozen=True, slots=True)
class PriceJudgement:
    """What is said of a symbol's newest price, None where none is stored.

    `stale` says that it is too old to be judged: by its own time, either when it was collected or now.
    """

    latest: StoredPrice | None
    previous: StoredPrice | None
    stale: bool
    judgement: Judgement


def is_fresh(price: StoredPrice, stale_after: int) -> bool:
    """Whether the price was current when it was collected."""
    return price.collected_at - price.priced_at <= stale_after


def judge_newest(
    store: PriceStore,
    symbol: str,
    wanted: PriceRules,
    rule: Rule,
    now: float,
    as_of: StoredPrice | None = None,
) -> PriceJudgement:
    """Judge the newest price of a symbol by the fresh ones before it. Raises StoreError.

    With `as_of`, a stored price, that one is judged, whatever others have stored since. A stale price
    is neither judged nor compared with: it would make an anomaly of an old quotation. A quotation that
    was collected several times counts once, so that asking again makes no calm of a jump.
    """
    found, fresh = _look_back(store, symbol, wanted, prices_needed(rule), as_of)
    judgement = judge([price.price for price in fresh], rule)
    latest = found[0] if found else None
    if latest is None:
        return PriceJudgement(None, None, False, judgement)
    if not is_fresh(latest, wanted.stale_after) or now - latest.priced_at > wanted.stale_after:
        age = int(now) - latest.priced_at
        reason = (
            f"The newest price is {age} s old by its own time, more than the {wanted.stale_after} s "
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


def _look_back(
    store: PriceStore, symbol: str, wanted: PriceRules, needed: int, as_of: StoredPrice | None
) -> tuple[list[StoredPrice], list[StoredPrice]]:
    """The newest prices, newest first; and of them up to the `needed` last ones to judge, ascending."""
    last = None if as_of is None else as_of.collected_at
    for limit in (needed + _NEAR, _FAR):
        read = found = store.newest(symbol, wanted.currency, limit, last=last)
        if as_of is not None:
            found = [as_of, *(price for price in read if _order(price) < _order(as_of))]
        fresh = [price for price in reversed(found) if is_fresh(price, wanted.stale_after)]
        quotations = _quotations(fresh)
        hopeless = not found or not is_fresh(found[0], wanted.stale_after)
        if hopeless or len(read) < limit or len(quotations) >= needed:
            break
    # Nothing but one quotation: it is compared with itself, and the price has not changed.
    return found, (quotations if len(quotations) > 1 else fresh)[-needed:]


def _quotations(prices: Sequence[StoredPrice]) -> list[StoredPrice]:
    """Each quotation (one price at one time of its own) once, where it was collected last."""
    found: dict[tuple[int, int], StoredPrice] = {}
    for price in prices:
        quotation = (price.priced_at, price.price)
        found.pop(quotation, None)
        found[quotation] = price
    return list(found.values())


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
