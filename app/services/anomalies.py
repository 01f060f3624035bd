"""Judging stored prices and daily closes by the rules of `app.utils.anomalies`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

from app.core.market import Interval, Pair, SeriesState
from app.core.ports import SeriesStore
from app.core.prices import PriceStore, StoredPrice
from app.utils.anomalies import (
    Judgement,
    Outcome,
    SeriesJudgement,
    judge,
    judge_series,
    prices_needed,
    warm_up,
)
from app.utils.anomaly_rules import Rule

_STALE_AMONG: Final = 50
"""Stale prices that may lie among those a rule looks at before it runs short of fresh ones."""


class Freshness(Protocol):
    """Which prices are judged at all: of one currency, and not older than `stale_after` seconds."""

    @property
    def currency(self) -> str:
        """The quote currency."""
        ...

    @property
    def stale_after(self) -> int:
        """Seconds after its own time from which a price is stale."""
        ...


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
    store: PriceStore, symbol: str, wanted: Freshness, rule: Rule, now: float
) -> PriceJudgement:
    """Judge the newest price of a symbol by the fresh ones before it. Raises StoreError.

    A stale price is neither judged nor compared with: it would make an anomaly of an old quotation.
    """
    found = store.newest(symbol, wanted.currency, prices_needed(rule) + _STALE_AMONG)
    fresh = [price for price in reversed(found) if is_fresh(price, wanted.stale_after)]
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
    previous = fresh[-2] if len(fresh) > 1 else None
    return PriceJudgement(latest, previous, False, judgement)


def judge_closes(
    store: SeriesStore, pair: Pair, interval: Interval, first: int, last: int, rule: Rule
) -> tuple[SeriesState, SeriesJudgement]:
    """Judge the stored closes of the buckets [first, last]. Raises StoreError."""
    step = interval.seconds
    state, rows = store.rows(pair, interval, first - warm_up(rule) * step, last)
    buckets = [candle.bucket for candle, _ in rows]
    closes = [candle.close for candle, _ in rows]
    return state, judge_series(buckets, closes, step, rule, interval.ceil(first))
