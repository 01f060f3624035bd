"""The two rules by which a change of a price is out of the ordinary.

A change is relative and simple, latest / previous - 1, in whole units of 1e-40: far below what two
prices of 64 bits can differ by, so that a verdict is that of exact fractions. Both rules answer the
same question: which changes would be normal now?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

UNITS: Final = 10**40
"""How many units of a change are 1."""

_SLACK: Final = 1_000
"""Units by which what is usual may be off: its changes were rounded to a unit each."""

CONSISTENCY: Final = Decimal("1.4826")
"""Makes a MAD an estimate of the standard deviation: 1 / Φ⁻¹(3/4) of the normal distribution."""


class Method(Enum):
    """The rules by the name that a request gives them."""

    RELATIVE = "relative"
    ROBUST = "robust"


@dataclass(frozen=True, slots=True)
class Usual:
    """The changes that are normal: those at most `limit` away from `centre`."""

    centre: int
    limit: int

    def exceeded_by(self, change: int) -> bool:
        """Whether the change lies outside; on the limit it does not."""
        return abs(change - self.centre) > self.limit + _SLACK


def relative_change(previous: int, latest: int) -> int:
    """The signed relative change between two prices in one unit, both above 0."""
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
        """How many changes before the judged one the rule looks at."""
        return 0

    @property
    def minimum(self) -> int:
        """How many of them it cannot do without."""
        return 0

    def usual(self, recent: Sequence[int]) -> Usual | None:  # noqa: ARG002 -- whatever they were
        """What is normal now."""
        return Usual(0, _units(self.threshold))


@dataclass(frozen=True, slots=True)
class RobustRule:
    """A change is anomalous when it is far from the recent ones, by their own measure.

    That is, when its distance to their median exceeds `multiple` × 1.4826 × their MAD, and `floor`
    too. The modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993),
    with the recent changes as the sample and the judged one outside it.

    - `window` 30: a month of daily closes, so that it follows a market that calms down or wakes up.
    - `minimum` 15: half of it. The fewer there are, the less their MAD can be relied on.
    - `multiple` 6, where those authors have 3.5 for the normal distribution. Returns have fat tails,
      about those of Student's t with 3 degrees of freedom (the "inverse cubic law" of Gopikrishnan
      et al., 1998), and of those 3.5 would call 29 in 1,000 anomalous, 6 calls 6.5.
    - `floor` 0.005: half a percent is what bid and ask are apart in a thin market. It keeps a flat
      series, whose MAD is 0, from making an anomaly of every tick.
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
        """What is normal now; None where the recent changes are too few to tell."""
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
