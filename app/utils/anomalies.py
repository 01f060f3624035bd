"""Whether the last change of a price is out of the ordinary, for one price and for a whole series.

A change of exactly the threshold is normal, one tick more is not, and the currency or unit of the
prices does not matter. Only what a judgement shows is rounded. How old a price is, and whether it may still be used, is not judged here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from app.utils.anomaly_rules import UNITS, Method, Rule, Usual, relative_change
from app.utils.fixed_point import SCALE, text

_HIGHEST_PRICE: Final = 2**63 - 1
_STEP: Final = UNITS // SCALE


class Outcome(Enum):
    """What came of judging a price."""

    INSUFFICIENT = "insufficient"
    NORMAL = "normal"
    ANOMALOUS = "anomalous"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule says about the newest price.

    All numbers are in 1e-8 (`fixed_point.text` renders them), None where there is none. `change` is
    the signed relative change from `previous` to `latest`. It is normal when it is at most `threshold`
    away from `usual`, which is 0 for the relative rule and the median of the recent changes for the
    robust one, and None without a change to compare with it. These three
    are rounded half to even for display, and may have more than 64 bits; `outcome` was reached without rounding. `reason` is a sentence that says why.
    """

    outcome: Outcome
    method: Method
    latest: int | None
    previous: int | None
    change: int | None
    usual: int | None
    threshold: int | None
    reason: str

    @property
    def anomalous(self) -> bool:
        """Whether this is an anomaly. Not to know is not one."""
        return self.outcome is Outcome.ANOMALOUS


@dataclass(frozen=True, slots=True)
class AnomalousPoint:
    """A bucket (its start, unix seconds) whose close, `judgement.latest`, is anomalous."""

    bucket: int
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class SeriesJudgement:
    """The anomalous points of a series, ascending, among the `judged` ones.

    `insufficient` closes could not be judged: the bucket before has none, or too few changes precede.
    """

    judged: int
    insufficient: int
    anomalies: tuple[AnomalousPoint, ...]


def prices_needed(rule: Rule) -> int:
    """How many of the newest prices `judge` looks at, at most."""
    return rule.window + 2


def warm_up(rule: Rule) -> int:
    """How many buckets before the first one to be judged `judge_series` looks at, at most."""
    return rule.window + 1


def judge(prices: Sequence[int], rule: Rule) -> Judgement:
    """Judge the last of `prices` (in 1e-8, ascending in time) by those before it.

    Only the newest `prices_needed(rule)` are looked at. Raises ValueError where one of them is not
    above 0 or does not fit in 64 bits.
    """
    used = prices[-prices_needed(rule) :]
    for price in used:
        _require_price(price)
    if len(used) < 2:
        return _without_change(rule, used)
    changes = [relative_change(used[at - 1], used[at]) for at in range(1, len(used))]
    recent = changes[:-1]
    return _judgement(rule, used[-2], used[-1], rule.usual(recent), len(recent))


def judge_series(
    buckets: Sequence[int],
    closes: Sequence[int],
    step: int,
    rule: Rule,
    first: int | None = None,
) -> SeriesJudgement:
    """Judge every close (in 1e-8) of the ascending `buckets`, each `step` seconds long.

    A change exists between neighbouring buckets only: the close after a hole has none, and is not
    judged. The robust rule looks at the changes that ended in the `window` buckets before the judged
    one: holes leave it fewer of them, they do not make it reach further back. So a judgement depends
    on its own bucket and the `warm_up(rule)` before it and on nothing else, and a slice that brings
    these along is judged as the whole series is. Buckets before `first` are not judged.

    Raises ValueError where a close is not above 0 or does not fit in 64 bits, and where the buckets do
    not ascend by whole steps.
    """
    recent: deque[tuple[int, int]] = deque()
    judged = insufficient = previous = 0
    before: int | None = None
    anomalies: list[AnomalousPoint] = []
    for bucket, close in zip(buckets, closes, strict=True):
        _require_price(close)
        gap = 0 if before is None else bucket - before
        if before is not None and (gap <= 0 or gap % step):
            raise ValueError(f"Bucket {bucket} does not follow {before} by whole steps of {step}.")
        while recent and recent[0][0] < bucket - rule.window * step:
            recent.popleft()
        change = relative_change(previous, close) if gap == step else None
        if first is None or bucket >= first:
            usual = None if change is None else rule.usual([past for _, past in recent])
            judged += usual is not None
            insufficient += usual is None
            if change is not None and usual is not None and usual.exceeded_by(change):
                found = _judgement(rule, previous, close, usual, len(recent))
                anomalies.append(AnomalousPoint(bucket, found))
        if change is not None and rule.window:
            recent.append((bucket, change))
        before, previous = bucket, close
    return SeriesJudgement(judged, insufficient, tuple(anomalies))


def _require_price(price: int) -> None:
    if not 0 < price <= _HIGHEST_PRICE:
        raise ValueError(
            f"The price {price} (in 1e-8) cannot be judged: a price is above 0 and fits in 64 bits."
        )


def _without_change(rule: Rule, prices: Sequence[int]) -> Judgement:
    """What is to be said about no price, or the only one."""
    usual = rule.usual(())
    known = "Only one current price is known" if prices else "No price is known yet"
    return Judgement(
        outcome=Outcome.INSUFFICIENT,
        method=rule.method,
        latest=prices[0] if prices else None,
        previous=None,
        change=None,
        usual=None,
        threshold=None if usual is None else _shown(usual.limit),
        reason=f"{known}: a change takes two.",
    )


def _judgement(
    rule: Rule, previous: int, latest: int, usual: Usual | None, recent: int
) -> Judgement:
    """Put the verdict on one change into words; `recent` changes before it led to `usual`."""
    change = relative_change(previous, latest)
    if usual is None:
        outcome = Outcome.INSUFFICIENT
        reason = (
            f"Only {recent} of the last {rule.window} changes before this one are known: "
            f"at least {rule.minimum} are needed to tell what is usual."
        )
    else:
        exceeded = usual.exceeded_by(change)
        outcome = Outcome.ANOMALOUS if exceeded else Outcome.NORMAL
        low, high = _shown(usual.centre - usual.limit), _shown(usual.centre + usual.limit)
        moved = _moved(change)
        if rule.method is Method.RELATIVE:
            verdict = "exceeds" if exceeded else "is within"
            reason = f"{moved}; that {verdict} the threshold of {_percent(high)}."
        else:
            verdict = "outside" if exceeded else "within"
            reason = (
                f"{moved}, {verdict} the range from {_percent(low)} to {_percent(high)} that "
                f"the {recent} changes before it make usual."
            )
    return Judgement(
        outcome=outcome,
        method=rule.method,
        latest=latest,
        previous=previous,
        change=_shown(change),
        usual=None if usual is None else _shown(usual.centre),
        threshold=None if usual is None else _shown(usual.limit),
        reason=reason,
    )


def _moved(change: int) -> str:
    """The change as the beginning of a sentence."""
    if not change:
        return "The price did not change"
    return f"The price {'rose' if change > 0 else 'fell'} by {_percent(abs(_shown(change)))}"


def _shown(number: int) -> int:
    """Units of a change in 1e-8, rounded half to even."""
    down, rest = divmod(number, _STEP)
    return down + (2 * rest > _STEP or (2 * rest == _STEP and down % 2))


def _percent(number: int) -> str:
    """A fraction in 1e-8 as the shortest exact percentage: `5 %`, `0.168333 %`."""
    return f"{text(number * 100).removesuffix('.0')} %"
