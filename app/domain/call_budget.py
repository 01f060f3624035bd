"""A host's calls in a calendar month: which of them are the collector's, and which are left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from app.core.errors import BudgetSpent
from app.core.market import DAY

LONGEST_MONTH: Final = 31 * DAY
"""Seconds of a month of 31 days."""


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in UTC: its `number` (202402 is February 2024), its seconds [first, end)."""

    number: int
    first: int
    end: int

    @classmethod
    def of(cls, at: float) -> Month:
        """The month of the unix time `at`."""
        first = datetime.fromtimestamp(at, UTC).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        year, month = first.year, first.month
        end = first.replace(year=year + month // 12, month=month % 12 + 1)
        return cls(year * 100 + month, int(first.timestamp()), int(end.timestamp()))


@dataclass(frozen=True, slots=True)
class CallBudget:
    """The `calls` that a host allows in a month; the collector makes one per `poll_seconds`."""

    calls: int
    poll_seconds: int

    def needed(self, seconds: int) -> int:
        """The calls that the collector makes in so many seconds, at most."""
        return -(-seconds // self.poll_seconds)

    def reserved(self, now: float) -> int:
        """The calls that the collector needs from the unix time `now` to the end of its month.

        One more than `needed`: a collection that is due may still be waiting for its turn.
        """
        return self.needed(Month.of(now).end - int(now)) + 1

    def for_requests(self, now: float) -> int:
        """A request may use a call at `now` if fewer than this are spent; at most 0 for none."""
        return self.calls - self.reserved(now)

    def refusal(self, host: str, spent: int, now: float) -> BudgetSpent:
        """The error of a request at `now` for which `spent` calls leave none."""
        return BudgetSpent(
            f"Of this month's {self.calls:,} calls to {host}, {spent:,} are spent and "
            f"{self.reserved(now):,} are reserved for the collector: read /history, or try again next "
            "month (UTC). The operator's settings are COINGECKO_MONTHLY_CALLS and PRICE_POLL_SECONDS.",
            retry_after=Month.of(now).end - int(now),
        )

    @property
    def shortest_poll(self) -> int:
        """The shortest PRICE_POLL_SECONDS that fits into the longest month, without any request."""
        return -(-LONGEST_MONTH // self.calls)
