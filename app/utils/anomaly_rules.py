"""The two rules by which a change of a price is out of the ordinary, and the sample one looks at.

A change is relative and simple, latest / previous - 1: a fraction of two integers, and never rounded
here. Both rules answer the same question: which changes would be normal now?
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Final

CONSISTENCY: Final = Fraction("1.4826")
"""Makes a MAD an estimate of the standard deviation: 1 / Φ⁻¹(3/4) of the normal distribution."""


class Method(Enum):
    """The rules by the name that a request gives them."""

    RELATIVE = "relative"
    ROBUST = "robust"


@dataclass(frozen=True, slots=True)
class Usual:
    """The changes that are normal: those at most `limit` away from `centre`."""

    centre: Fraction
    limit: Fraction

    def exceeded_by(self, change: Fraction) -> bool:
        """Whether the change lies outside; on the limit it does not."""
        return abs(change - self.centre) > self.limit


class RecentChanges:
    """The changes of a sliding window in their order of size, with their exact median and MAD.

    Both stay where they are however wild not quite half of the sample is, which a mean and a
    standard deviation do not (Hampel, "The influence curve and its role in robust estimation",
    1974). Adding and dropping take O(log n) comparisons, the median O(1), the MAD O(log n).
    """

    def __init__(self, changes: Iterable[Fraction] = ()) -> None:
        self._ordered = sorted(changes)

    def __len__(self) -> int:
        return len(self._ordered)

    def add(self, change: Fraction) -> None:
        """Take one more in."""
        insort(self._ordered, change)

    def drop(self, change: Fraction) -> None:
        """Let one go that is in the sample."""
        del self._ordered[bisect_left(self._ordered, change)]

    def median(self) -> Fraction:
        """The change in the middle, or the mean of the two there. Needs at least one."""
        ordered, middle = self._ordered, len(self._ordered) // 2
        if len(ordered) % 2:
            return ordered[middle]
        return (ordered[middle - 1] + ordered[middle]) / 2

    def deviation(self) -> Fraction:
        """The median of the distances to the median, the MAD. Needs at least one change."""
        ordered, centre = self._ordered, self.median()
        twice = 2 * centre
        # The changes nearest to the median stand side by side, so the run of the `near` nearest is
        # found by bisection: it starts where its first is no farther than the one after its last.
        near = len(ordered) // 2 + 1
        low, high = 0, len(ordered) - near
        while low < high:
            place = (low + high) // 2
            if twice <= ordered[place] + ordered[place + near]:
                high = place
            else:
                low = place + 1
        last = low + near - 1
        below, above = centre - ordered[low], ordered[last] - centre
        if len(ordered) % 2:
            return max(below, above)
        # Of an even sample the two farthest of the run count, and the farthest is at one of its ends.
        if below >= above:
            return (below + max(centre - ordered[low + 1], above)) / 2
        return (above + max(ordered[last - 1] - centre, below)) / 2


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

    def usual(self, recent: RecentChanges) -> Usual | None:  # noqa: ARG002 -- whatever they were
        """What is normal now."""
        return Usual(Fraction(0), Fraction(self.threshold))


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

    def usual(self, recent: RecentChanges) -> Usual | None:
        """What is normal now; None where the recent changes are too few to tell."""
        if len(recent) < self.minimum:
            return None
        spread = Fraction(self.multiple) * CONSISTENCY * recent.deviation()
        return Usual(recent.median(), max(Fraction(self.floor), spread))


Rule = RelativeRule | RobustRule
