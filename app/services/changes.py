"""Tell what has changed in the database since the last look, whichever process has changed it.

A look reads the marks of all series and the prices that arrived, in three statements; only of what
has changed does it read more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from app.core.market import Mark, Series
from app.core.ports import Clock, SeriesStore
from app.core.prices import PriceStore, StoredPrice
from app.domain.anomalies import RelativeRule
from app.domain.revisions import changed_at, earlier
from app.services.anomalies import PriceJudgement, PriceRules, judge_newest
from app.services.averages import next_change
from app.services.coverage import Coverage, CoverageCounter
from app.services.latest import Latest, read_latest

OVERLAP_SECONDS: Final = 10
"""A commit may become visible so much later than its revision says: its transaction was still open,
or the clock of its machine is behind."""

OVERLAP_PRICES: Final = 100
"""Prices below the highest id that are looked at again: an id is given before its commit."""

MOST_PRICES: Final = 500
"""The most prices that one look tells of; older ones are in the history."""

_POSITION: Final = re.compile(r"([0-9]{1,19})-([0-9]{1,19})", re.ASCII)


class Position(NamedTuple):
    """Up to where somebody has been told: the highest revision and the highest id of a price."""

    revision: int
    price: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The position that `str` has written; None for any other text."""
        read = _POSITION.fullmatch(text)
        return None if read is None else cls(int(read[1]), int(read[2]))

    def __str__(self) -> str:
        return f"{self.revision}-{self.price}"


@dataclass(frozen=True, slots=True)
class Unusual:
    """The newest price of a symbol is an anomaly."""

    symbol: str
    judgement: PriceJudgement


Change = Latest | Coverage | StoredPrice | Unusual
"""What has changed: a series has a new revision, and this is its newest candle; a load of it has
ended, or what it lacks or its staleness has changed; a price has arrived; it is unusual."""


class Changes:
    """Look for changes of the served series and symbols. One thread at a time may call it."""

    def __init__(
        self,
        series: SeriesStore,
        prices: PriceStore,
        coverage: CoverageCounter,
        *,
        served: Iterable[Series],
        symbols: Iterable[str],
        rules: PriceRules,
        history_days: int,
        clock: Clock,
    ) -> None:
        self._store = series
        self._prices = prices
        self._coverage = coverage
        self._served = {(each.pair.symbol, each.interval.value): each for each in served}
        self._symbols = frozenset(symbols)
        self._rules = rules
        self._history_days = history_days
        self._clock = clock
        self._marks: dict[Series, Mark] | None = None
        self._due = dict.fromkeys(self._served.values(), 0.0)
        self._statuses: dict[Series, Coverage] = {}
        self._newest: dict[Series, tuple[Mark, float, Latest]] = {}
        self._price = 0
        self._seen: frozenset[int] = frozenset()

    @property
    def position(self) -> Position:
        """Up to where the looks have told."""
        marks = (self._marks or {}).values()
        return Position(max((mark.revision for mark in marks), default=0), self._price)

    def look(self) -> list[Change]:
        """What has changed since the last look; nothing at the first one.

        Raises StoreError; the next look then tells what this one could not.
        """
        highest, prices = self._prices.arrived(self._price - OVERLAP_PRICES, MOST_PRICES)
        marks, now = self._read_marks(), self._clock()
        changes: list[Change] = []
        due, statuses = {}, {}
        if self._marks is not None:
            arrived = [price for price in prices if price.id not in self._seen]
            changes += self._of_prices(arrived, now)
            for series in self._served.values():
                mark, before = marks.get(series), self._marks.get(series)
                if mark == before and now < self._due[series]:
                    continue
                due[series] = next_change(series.interval, now)
                if mark is not None and (before is None or mark.revision != before.revision):
                    changes.append(self._latest(series, mark, now))
                status = statuses[series] = self._coverage.coverage(series, now)
                told = self._statuses.get(series)
                if status != told and (told is not None or mark != before):
                    changes.append(status)
        self._marks = marks
        self._due |= due
        self._statuses |= statuses
        self._price, self._seen = highest, frozenset(price.id for price in prices)
        return changes

    def since(self, position: Position | None) -> list[Change]:
        """What has changed since somebody was told up to `position`, and perhaps a little more.

        All there is, where that is unknown (None) or of another database: a restored one, say.
        Call it after a look. Raises StoreError.
        """
        told, now = position, self._clock()
        if told is None or told.revision > self.position.revision or told.price > self._price:
            told = Position(0, 0)
        revision = earlier(told.revision, OVERLAP_SECONDS)
        checked_at = changed_at(revision)
        changes: list[Change] = []
        for series, mark in (self._marks or {}).items():
            if mark.revision > revision:
                changes.append(self._latest(series, mark, now))
            if mark.checked_at is not None and mark.checked_at >= checked_at:
                changes.append(self._coverage.coverage(series, now))
        if self._price > told.price:
            changes += self._of_prices(self._prices.arrived(told.price, MOST_PRICES)[1], now)
        return changes

    def _read_marks(self) -> dict[Series, Mark]:
        every = self._store.marks()
        return {self._served[name]: mark for name, mark in every.items() if name in self._served}

    def _latest(self, series: Series, mark: Mark, now: float) -> Latest:
        kept = self._newest.get(series)
        if kept is not None and kept[0] == mark and now < kept[1]:
            return kept[2]
        latest = read_latest(self._store, series, self._history_days, now)
        self._newest[series] = mark, next_change(series.interval, now), latest
        return latest

    def _of_prices(self, prices: Sequence[StoredPrice], now: float) -> Iterator[Change]:
        """The served ones of these prices, and which symbols are unusual now."""
        rules = self._rules
        served = [
            price
            for price in prices
            if price.symbol in self._symbols and price.currency == rules.currency
        ]
        yield from served
        for symbol in sorted({price.symbol for price in served}):
            rule = RelativeRule(rules.thresholds.of(symbol))
            judged = judge_newest(self._prices, symbol, rules, rule, now)
            if judged.judgement.anomalous:
                yield Unusual(symbol, judged)
