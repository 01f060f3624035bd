"""A live table of the latest prices, where a person is watching."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from app.core.prices import Coin, StoredPrice
from app.services.prices import Collection
from app.utils.days import iso
from app.utils.fixed_point import text

WINDOW: Final = 6
"""How many recent prices of a symbol are shown."""


class RecentPrices:
    """The last few prices of each symbol, in memory."""

    def __init__(self, coins: Sequence[Coin]) -> None:
        self._recent: dict[str, deque[StoredPrice]] = {
            coin.symbol: deque(maxlen=WINDOW) for coin in coins
        }

    def add(self, prices: Sequence[StoredPrice]) -> None:
        """Take in what was collected."""
        for price in prices:
            self._recent[price.symbol].append(price)

    def table(self) -> Table:
        """A row a symbol, the newest price first."""
        shown = Table(title="Spot prices, newest first")
        for heading in ("symbol", "as of", *[""] * WINDOW):
            shown.add_column(heading, justify="left" if heading else "right")
        for symbol, prices in self._recent.items():
            newest = list(reversed(prices))
            as_of = iso(newest[0].priced_at) if newest else "-"
            cells = [text(price.price) for price in newest]
            shown.add_row(symbol, as_of, *cells, *[""] * (WINDOW - len(cells)))
        return shown


@contextmanager
def watched(
    coins: Sequence[Coin], collect: Callable[[], Collection]
) -> Iterator[Callable[[], Collection]]:
    """`collect`, which on a terminal also shows what it brought."""
    if not sys.stdout.isatty():
        yield collect
        return
    recent = RecentPrices(coins)
    with Live(recent.table(), console=Console(), auto_refresh=False) as live:

        def shown() -> Collection:
            found = collect()
            recent.add(found.stored)
            live.update(recent.table(), refresh=True)
            return found

        yield shown
