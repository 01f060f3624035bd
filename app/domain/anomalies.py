"""Judge whether a price change is out of the ordinary, for one price and for a whole series.

A change of exactly the threshold is normal; one tick more is not. The currency or unit of the
prices does not matter. Only the numbers that a judgement shows are rounded. Staleness is not
judged here: neither how old a price is nor whether it may still be used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from typing import Final

from app.core.market import Exact
from app.domain.fixed_point import SCALE, in_one_unit, text

UNITS: Final = 10**100
"""Units in a relative change of 1 (100 %).

Prices have at most 80 digits and thresholds 8 places, so a change is on the threshold or at least
1e-88 away from it."""

_SLACK: Final = 1_000
"""Tolerance of the limit, in units: each change behind it was rounded to a unit."""

CONSISTENCY: Final = Decimal("1.4826")
"""Makes a MAD an estimate of the standard deviation: 1 / Φ⁻¹(3/4) of the normal distribution."""


class Method(Enum):
    """The rules, by their names in a request."""

    RELATIVE = "relative"
    ROBUST = "robust"


@dataclass(frozen=True, slots=True)
class Usual:
    """The range of normal changes: those at most `limit` away from `centre`, in units."""

    centre: int
    limit: int

    def exceeded_by(self, change: int) -> bool:
        """Whether the change lies outside the range; a change on the limit does not."""
        return abs(change - self.centre) > self.limit + _SLACK


def relative_change(previous: int, latest: int) -> int:
    """The signed relative change between two prices above 0, in units of `UNITS`.

    Both prices are in the same unit, whichever it is.
    """
    return (latest - previous) * UNITS // previous


@dataclass(frozen=True, slots=True)
class RelativeRule:
    """A change is anomalous when it exceeds the threshold, up or down.

    `threshold` is a fraction: 0.05 allows 5 %.
    """

    threshold: Decimal

    @property
    def method(self) -> Method:
        """The rule's name."""
        return Method.RELATIVE

    @property
    def window(self) -> int:
        """How many earlier changes the rule looks at."""
        return 0

    @property
    def minimum(self) -> int:
        """How many of them it needs at least."""
        return 0

    def usual(self, recent: Sequence[int]) -> Usual | None:  # noqa: ARG002 -- a fixed rule
        """The normal range, whatever the recent changes."""
        return Usual(0, _units(self.threshold))


@dataclass(frozen=True, slots=True)
class RobustRule:
    """A change is anomalous when it is far from the recent changes, relative to their spread.

    Far means that its distance to their median exceeds both `multiple` × 1.4826 × their MAD (median
    absolute deviation) and `floor`. This is the modified z-score of Iglewicz and Hoaglin, "How to
    Detect and Handle Outliers" (1993). The recent changes are the sample; the judged change is not
    part of it.

    - `window` 30: a month of daily closes. It follows a market that calms down or wakes up.
    - `minimum` 15: half of the window. The fewer the changes, the less reliable their MAD.
    - `multiple` 6: the authors use 3.5 for the normal distribution. Returns have fat tails, about
      those of Student's t with 3 degrees of freedom (the "inverse cubic law" of Gopikrishnan et
      al., 1998). Of such changes 3.5 would call 29 in 1,000 anomalous; 6 calls 6.5.
    - `floor` 0.005: half a percent is the spread between bid and ask in a thin market. It keeps a
      flat series, whose MAD is 0, from reporting every tick as an anomaly.
    """

    window: int = 30
    minimum: int = 15
    multiple: Decimal = Decimal(6)
    floor: Decimal = Decimal("0.005")

    @property
    def method(self) -> Method:
        """The rule's name."""
        return Method.ROBUST

    def usual(self, recent: Sequence[int]) -> Usual | None:
        """The normal range by the recent changes; None where they are too few."""
        if len(recent) < self.minimum:
            return None
        centre = _median(recent)
        spread = _median([abs(change - centre) for change in recent])
        factor = _units(self.multiple * CONSISTENCY)
        return Usual(centre, max(_units(self.floor), factor * spread // UNITS))


Rule = RelativeRule | RobustRule


def _units(number: Decimal) -> int:
    numerator, denominator = number.as_integer_ratio()
    return numerator * UNITS // denominator


def _median(numbers: Sequence[int]) -> int:
    ordered, middle = sorted(numbers), len(numbers) // 2
    return (ordered[middle] + ordered[~middle]) // 2


_HIGHEST_CLOSE: Final = 2**63 - 1
_STEP: Final = UNITS // SCALE


class Outcome(Enum):
    """The verdict on a price."""

    INSUFFICIENT = "insufficient"
    NORMAL = "normal"
    ANOMALOUS = "anomalous"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule says about the newest price.

    `latest` and `previous` are the prices as they came. The other numbers are in 1e-8
    (`fixed_point.text` renders all of them). None stands where there is none. `change` is the
    signed relative change from `previous` to `latest`. It is normal when it is at most `threshold`
    away from `usual`: 0 for the relative rule, the median of the recent changes for the robust
    rule, None without a change to compare. These three are rounded half to even for display and may
    need more than 64 bits. `outcome` was reached without rounding. `reason` is a sentence that says
    why.
    """

    outcome: Outcome
    method: Method
    latest: Exact | None
    previous: Exact | None
    change: int | None
    usual: int | None
    threshold: int | None
    reason: str

    @property
    def anomalous(self) -> bool:
        """Whether this is an anomaly. An insufficient history is not one."""
        return self.outcome is Outcome.ANOMALOUS


@dataclass(frozen=True, slots=True)
class AnomalousPoint:
    """A bucket (its start, unix seconds) with an anomalous close, `judgement.latest`."""

    bucket: int
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class SeriesJudgement:
    """The anomalous points of a series, ascending, and how many closes were `judged`.

    `insufficient` counts the closes that could not be judged: the bucket before has no close, or
    there are too few changes before.
    """

    judged: int
    insufficient: int
    anomalies: tuple[AnomalousPoint, ...]


def prices_needed(rule: Rule) -> int:
    """The most of the newest prices that `judge` looks at."""
    return rule.window + 2


def warm_up(rule: Rule) -> int:
    """The most buckets before the first judged one that `judge_series` looks at."""
    return rule.window + 1


def judge(prices: Sequence[Exact], rule: Rule) -> Judgement:
    """Judge the last of `prices` (ascending in time) by the prices before it.

    Only the newest `prices_needed(rule)` prices count. Raises ValueError where one of them is not
    above 0.
    """
    used = prices[-prices_needed(rule) :]
    whole = in_one_unit(used)
    for price, units in zip(used, whole, strict=True):
        if units <= 0:
            raise ValueError(f"The price {text(price)} cannot be judged: a price is above 0.")
    if len(used) < 2:
        return _without_change(rule, used)
    changes = [relative_change(*pair) for pair in pairwise(whole)]
    recent = changes[:-1]
    return _judgement(rule, used[-2], used[-1], changes[-1], rule.usual(recent), len(recent))


def judge_series(
    buckets: Sequence[int],
    closes: Sequence[int],
    step: int,
    rule: Rule,
    first: int | None = None,
) -> SeriesJudgement:
    """Judge every close (in 1e-8) of the ascending `buckets`, each `step` seconds long.

    A change exists between neighbouring buckets only: the close after a hole has none and is not
    judged. The robust rule looks at the changes that ended in the `window` buckets before the
    judged one. Holes leave it fewer changes; they do not make it reach further back. So a judgement
    depends only on its own bucket and the `warm_up(rule)` buckets before it. A slice that includes
    these is judged as the whole series is. Buckets before `first` are not judged.

    Raises ValueError where a close is not above 0 or does not fit in 64 bits, and where the buckets
    do not ascend by whole steps.
    """
    recent: deque[tuple[int, int]] = deque()
    judged = insufficient = previous = 0
    before: int | None = None
    anomalies: list[AnomalousPoint] = []
    for bucket, close in zip(buckets, closes, strict=True):
        _require_close(close)
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
                judgement = _judgement(rule, previous, close, change, usual, len(recent))
                anomalies.append(AnomalousPoint(bucket, judgement))
        if change is not None and rule.window:
            recent.append((bucket, change))
        before, previous = bucket, close
    return SeriesJudgement(judged, insufficient, tuple(anomalies))


def _require_close(close: int) -> None:
    if not 0 < close <= _HIGHEST_CLOSE:
        raise ValueError(
            f"The price {close} (in 1e-8) cannot be judged: a price is above 0 and fits in 64 bits."
        )


def _without_change(rule: Rule, prices: Sequence[Exact]) -> Judgement:
    """The judgement of no price, or of a single one."""
    usual = rule.usual(())
    count = "Only one current price is known" if prices else "No price is known yet"
    return Judgement(
        outcome=Outcome.INSUFFICIENT,
        method=rule.method,
        latest=prices[0] if prices else None,
        previous=None,
        change=None,
        usual=None,
        threshold=None if usual is None else _shown(usual.limit),
        reason=f"{count}: a change takes two.",
    )


def _judgement(
    rule: Rule, previous: Exact, latest: Exact, change: int, usual: Usual | None, recent: int
) -> Judgement:
    """The judgement of one change, in words too; `usual` comes from `recent` earlier changes."""
    shown = _shown(change)
    if usual is None:
        outcome = Outcome.INSUFFICIENT
        reason = (
            f"Only {recent} of the last {rule.window} changes before this one are known: "
            f"at least {rule.minimum} are needed to tell what is usual."
        )
    else:
        exceeded = usual.exceeded_by(change)
        outcome = Outcome.ANOMALOUS if exceeded else Outcome.NORMAL
        moved = _moved(change, abs(shown))
        if rule.method is Method.RELATIVE:
            verdict = "exceeds" if exceeded else "is within"
            reason = f"{moved}; that {verdict} the threshold of {_percent(_shown(usual.limit))}."
        else:
            low, high = _shown(usual.centre - usual.limit), _shown(usual.centre + usual.limit)
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
        change=shown,
        usual=None if usual is None else _shown(usual.centre),
        threshold=None if usual is None else _shown(usual.limit),
        reason=reason,
    )


def _moved(change: int, size: int) -> str:
    """The change (in units), whose size in 1e-8 is `size`, as the beginning of a sentence."""
    if not change:
        return "The price did not change"
    return f"The price {'rose' if change > 0 else 'fell'} by {_percent(size)}"


def _shown(number: int) -> int:
    """Convert units of a change to 1e-8, rounded half to even."""
    down, rest = divmod(number, _STEP)
    return down + (2 * rest > _STEP or (2 * rest == _STEP and down % 2))


def _percent(number: int) -> str:
    """A fraction in 1e-8 as the shortest exact percentage: `5 %`, `0.168333 %`."""
    return f"{text(number * 100).removesuffix('.0')} %"
