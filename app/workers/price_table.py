"""A live table of the latest prices, where a person is watching."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from app.core.prices import Coin
from app.events.types import PriceCollected
from app.services.prices import Collection
from app.utils.fixed_point import text

WINDOW: Final = 6
"""How many recent prices of a symbol are kept to be shown, as many as fit beside each other."""

_BORDER: Final = 3  # a line and two blanks around each cell, and one line more at the end


class RecentPrices:
    """The last few prices of each symbol, in memory, and what is to be said of the newest."""

    def __init__(self, coins: Sequence[Coin]) -> None:
        self._recent: dict[str, deque[PriceCollected]] = {
            coin.symbol: deque(maxlen=WINDOW) for coin in coins
        }
        self._marks = dict.fromkeys(self._recent, "")

    def add(self, found: Collection) -> None:
        """Take in what was collected."""
        for told in found.told:
            self._recent[told.symbol].append(told)
            self._marks[told.symbol] = _mark(told)
        for refused in found.refused:
            self._marks[refused.coin.symbol] = "refused"

    def table(self, width: int) -> Table:
        """A row a symbol, the newest price first: in full, as many as `width` characters hold."""
        rows = [self._row(symbol) for symbol in self._recent]
        headings = ["symbol", "as of UTC", "state", "latest", "before", *["earlier"] * (WINDOW - 2)]
        while _width(headings, rows) > width and len(headings) > 4:
            headings.pop()
        shown = Table(title="Spot prices")
        for number, heading in enumerate(headings):
            # A cell that does not fit is folded, never cut: half a price is a wrong one.
            shown.add_column(heading, justify="right" if number > 2 else "left", overflow="fold")
        for row in rows:
            shown.add_row(*row[: len(headings)])
        return shown

    def _row(self, symbol: str) -> list[str]:
        newest = list(reversed(self._recent[symbol]))
        at = datetime.fromtimestamp(newest[0].priced_at, UTC) if newest else None
        return [
            symbol,
            "-" if at is None else at.strftime("%H:%M:%S"),
            self._marks[symbol],
            *(text(told.price) for told in newest),
            *[""] * (WINDOW - len(newest)),
        ]


def _mark(told: PriceCollected) -> str:
    if told.stale:
        return "stale"
    return "anomalous" if told.anomalous else ""


def _width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """How many characters these columns take."""
    columns = zip(*(row[: len(headings)] for row in chain([headings], rows)), strict=True)
    return sum(max(map(len, column)) + _BORDER for column in columns) + 1


@contextmanager
def watched(
    coins: Sequence[Coin], collect: Callable[[], Collection]
) -> Iterator[Callable[[], Collection]]:
    """`collect`, which on a terminal also shows what it brought."""
    if not sys.stdout.isatty():
        yield collect
        return
    recent, console = RecentPrices(coins), Console()
    with Live(recent.table(console.width), console=console, auto_refresh=False) as live:

        def shown() -> Collection:
            found = collect()
            recent.add(found)
            live.update(recent.table(console.width), refresh=True)
            return found

        yield shown
