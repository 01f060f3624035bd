"""Comparing replies with candles that are known: what is asked for that, and what comes of it.

A reply at another price scale looks like any other, until one of its candles is held against the same
candle as it is stored, or as the reply before had it. So each request reaches over a few of these.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from app.core.errors import PriceScaleChanged, UpstreamError, UpstreamNonsense
from app.core.market import Candle, CandlePage, RefusedCandle, Series
from app.core.ports import CandleSource, SeriesStore
from app.domain.gaps import Span, anchored, pages
from app.domain.price_scale import scale_change
from app.domain.times import iso

COMPARED: Final = 3
"""Known candles that a request reaches over: a single one may have been revised by any factor."""


def requests(
    store: SeriesStore,
    series: Series,
    spans: Sequence[Span],
    size: int,
    pages_a_commit: int,
) -> list[Span]:
    """What to ask for, at most `size` buckets at once, to get `spans` and something to compare.

    A span that holds nothing stored comes with the stored candles nearest to it, and a request that
    goes on with a span with the end of the one before. What the first `pages_a_commit` requests bring
    is committed together; where they meet nothing stored, one that does is asked before them.
    Raises StoreError.
    """
    if not spans:
        return []
    step = series.step
    reach = COMPARED * step
    first, last = spans[0].first, spans[-1].last
    state = store.state(series)
    stored: list[int] = []
    if state.first is not None and state.last is not None:
        low, high = min(first, state.last) - reach, max(last, state.first) + reach
        # Where nothing is near, the two ends of the series are all that is known of it.
        stored = store.buckets(series, low, high) or [state.first, state.last]
    asked = list(pages(anchored(spans, stored, step, COMPARED), step, size, COMPARED))
    committed = asked[:pages_a_commit]
    following = bisect_left(stored, committed[0].first)
    met = bisect_right(stored, committed[-1].last) - following
    if not met and following < len(stored) and len(committed) < len(asked):
        bucket = stored[following]
        asked.insert(0, Span(bucket, bucket + (min(COMPARED, size) - 1) * step))
    return asked


def ask(
    source: CandleSource,
    series: Series,
    request: Span,
    on_page: Callable[[int], None],
) -> list[CandlePage]:
    """Ask for one request; the last page answers it, those before it what a short reply left out.

    A host may send fewer candles than it was asked for, the newest ones. So what is missing at the
    beginning is asked for once more, together with the first that came, until nothing older comes.
    `on_page` is told of no buckets after each question but the last. Raises as `source` does.
    """
    found = [source.page(series, request.first, request.last)]
    while (earliest := _earliest(found[0])) is not None and earliest > request.first:
        last = earliest + (COMPARED - 1) * series.step
        if last >= found[0].last:
            break  # that would be the same question
        on_page(0)
        more = source.page(series, request.first, last)
        older = _earliest(more)
        if older is None or older >= earliest:
            break
        found.insert(0, more)
    return found


def _earliest(page: CandlePage) -> int | None:
    """The first bucket that a page says anything of."""
    refused = [item.bucket for item in page.refused if item.bucket is not None]
    return min([*(candle.bucket for candle in page.candles[:1]), *refused], default=None)


@dataclass(slots=True)
class Answer:
    """The pages of one commit, together, and what is stored of their buckets.

    `factor` is what the prices of one of them were multiplied by, against those that are known; None
    where none were. `unlike` is a page that has none of the candles that are known of its time.
    """

    candles: dict[int, Candle] = field(default_factory=dict)
    refused: list[RefusedCandle] = field(default_factory=list)
    stored: dict[int, Candle] = field(default_factory=dict)
    factor: Fraction | None = None
    unlike: CandlePage | None = None
    _asked: set[int] = field(default_factory=set)

    def add(self, page: CandlePage, stored: Sequence[Candle], step: int) -> None:
        """Take one page, and what is stored of it. What it repeats is only there to be compared."""
        found = {candle.bucket: candle for candle in stored}
        before = {b: c for b, c in self.candles.items() if page.first <= b <= page.last}
        sent = {candle.bucket for candle in page.candles}
        if sent and (found or before) and sent.isdisjoint(found.keys() | before.keys()):
            self.unlike = page
        for known in (found, before):
            if self.factor is None:
                both = [(known[c.bucket], c) for c in page.candles if c.bucket in known]
                self.factor = scale_change(both)
        self.candles |= {candle.bucket: candle for candle in page.candles}
        self.refused += (item for item in page.refused if item.bucket not in self._asked)
        self.stored |= found
        self._asked.update(range(page.first, page.last + 1, step))

    def judged(self, series: Series) -> UpstreamError | None:
        """Why none of the candles is to be used, None where they are; then all of them are refused."""
        quarantine = f"in quarantine (GET /{series.pair}/quarantine?interval={series.interval})"
        if self.factor is not None:
            times = f"prices multiplied by {float(self.factor):g}"
            self._refuse_all(f"This came with {times}: a change of scale.")
            return PriceScaleChanged(
                f"The candles of {series} came with {times}, against those that are stored or "
                f"came just before: none of them is stored, they are {quarantine}. If the exchange "
                "really changed its scale, move the database away and load anew.",
                host="the exchange",
            )
        if self.unlike is not None:
            first, last = iso(self.unlike.first), iso(self.unlike.last)
            self._refuse_all(
                "This came without any candle that is known: its scale cannot be told."
            )
            return UpstreamNonsense(
                f"The candles of {series} from {first} to {last} came without a usable one of "
                "those that are known of that time, so nobody can tell whether their prices are of the "
                f"same scale: none of them is stored, they are {quarantine}. Try again later; should "
                "the exchange have withdrawn the newest ones for good, compare with more: "
                'make incremental ARGS="--reread 30".',
                host="the exchange",
            )
        return None

    def _refuse_all(self, reason: str) -> None:
        """Use none of the candles, and do not believe that the others do not exist."""
        self.refused.extend(RefusedCandle(bucket, reason) for bucket in self.candles)
        self.candles.clear()
        self._asked.clear()

    def absent(self) -> list[int]:
        """The buckets that were asked for and are neither answered, nor refused, nor stored."""
        # A refused candle whose place is unknown may be any of those that seem to be missing.
        if any(item.bucket is None for item in self.refused):
            return []
        refused = {item.bucket for item in self.refused}
        return sorted(self._asked - self.candles.keys() - self.stored.keys() - refused)
