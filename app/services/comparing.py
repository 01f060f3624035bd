"""Compare replies with stored candles, so that a change of price scale is noticed in time.

A reply at another price scale looks like any other. Only a comparison shows it: with the same
candle as it is stored, or as the reply before had it. So each request overlaps a few of these
candles.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final
from urllib.parse import quote

from app.core.errors import PriceScaleChanged, UpstreamError, UpstreamNonsense
from app.core.how_to_run import how_to_run
from app.core.market import (
    WITH_EARLIER_VOLUME,
    WITHOUT_VOLUME,
    Candle,
    CandlePage,
    RefusedCandle,
    Series,
    VolumeNote,
)
from app.core.ports import CandleSource, SeriesStore
from app.domain.gaps import Span, anchored, pages
from app.domain.price_scale import scale_change
from app.domain.times import iso

COMPARED: Final = 3
"""Candles by which a request overlaps earlier ones. A single one may be revised by any factor."""


def requests(
    store: SeriesStore,
    series: Series,
    spans: Sequence[Span],
    size: int,
    pages_a_commit: int,
) -> list[Span]:
    """Cut `spans` into requests of at most `size` buckets that overlap candles to compare with.

    A span without stored candles is extended to the nearest stored ones. A request that continues a
    span overlaps the end of the request before it. The pages of the first `pages_a_commit` requests
    are committed together; if those requests overlap nothing stored, one that does is put before
    them. Raises StoreError.
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
        # If nothing is stored near the spans, compare with the two ends of the series.
        stored = store.buckets(series, [(low, high)]) or [state.first, state.last]
    chunks = list(pages(anchored(spans, stored, step, COMPARED), step, size, COMPARED))
    committed = chunks[:pages_a_commit]
    following = bisect_left(stored, committed[0].first)
    overlap = bisect_right(stored, committed[-1].last) - following
    if not overlap and following < len(stored) and len(committed) < len(chunks):
        bucket = stored[following]
        chunks.insert(0, Span(bucket, bucket + (min(COMPARED, size) - 1) * step))
    return chunks


def fetch(
    source: CandleSource,
    series: Series,
    request: Span,
    on_page: Callable[[int], None],
) -> list[CandlePage]:
    """Fetch one request. The last page is its reply; the pages before it hold what that left out.

    A host may send only the newest of the requested candles. Then the missing beginning is
    requested again, up to the first candles received, until no older candle comes. `on_page` is
    called with 0 after each page but the last. Raises the errors of `source`.
    """
    received = [source.page(series, request.first, request.last)]
    while (earliest := _earliest(received[0])) is not None and earliest > request.first:
        last = earliest + (COMPARED - 1) * series.step
        if last >= received[0].last:
            break  # it would repeat the request
        on_page(0)
        more = source.page(series, request.first, last)
        older = _earliest(more)
        if older is None or older >= earliest:
            break
        received.insert(0, more)
    return received


def _earliest(page: CandlePage) -> int | None:
    """Return the first bucket of a page with a candle or a refusal; None if there is none."""
    refused = [item.bucket for item in page.refused if item.bucket is not None]
    return min([*(candle.bucket for candle in page.candles[:1]), *refused], default=None)


def quarantine_request(series: Series) -> str:
    """Return the request to the API that lists the refused candles of a series, with reasons."""
    return f"GET /{quote(str(series.pair), safe='')}/quarantine?interval={series.interval}"


@dataclass(slots=True)
class Answer:
    """The pages of one commit, merged, and the candles that are stored for their buckets.

    A candle that came without a volume has the one of an earlier reply, if there is any. `notes`
    are about these candles, by bucket.

    `factor` is what the prices of one page were multiplied by, compared with stored or earlier
    candles; None if the scale did not change. `unlike` is a page that could not be compared: it
    lacks every candle that is stored, or came before, for its time.
    """

    candles: dict[int, Candle] = field(default_factory=dict)
    refused: list[RefusedCandle] = field(default_factory=list)
    notes: dict[int, VolumeNote] = field(default_factory=dict)
    stored: dict[int, Candle] = field(default_factory=dict)
    factor: Fraction | None = None
    unlike: CandlePage | None = None
    _requested: set[int] = field(default_factory=set)

    def add(self, page: CandlePage, stored: Sequence[Candle], step: int) -> None:
        """Add one page, and the candles stored in its range. Repeated buckets are compared."""
        in_store = {candle.bucket: candle for candle in stored}
        buckets = range(page.first, page.last + 1, step)
        before = {bucket: self.candles[bucket] for bucket in buckets if bucket in self.candles}
        sent = {candle.bucket for candle in page.candles}
        if sent and (in_store or before) and sent.isdisjoint(in_store.keys() | before.keys()):
            self.unlike = page
        for reference in (in_store, before):
            if self.factor is None:
                both = [(reference[c.bucket], c) for c in page.candles if c.bucket in reference]
                self.factor = scale_change(both)
        reasons = {note.bucket: note.reason for note in page.notes}
        earlier = in_store | before
        for candle in page.candles:
            self._take(candle, reasons.get(candle.bucket, ""), earlier.get(candle.bucket))
        self.refused += (item for item in page.refused if item.bucket not in self._requested)
        self.stored |= in_store
        self._requested.update(buckets)

    def _take(self, candle: Candle, reason: str, earlier: Candle | None) -> None:
        bucket = candle.bucket
        self.notes.pop(bucket, None)
        if candle.volume is None:
            if earlier is not None:
                candle = replace(candle, volume=earlier.volume)
            use = WITHOUT_VOLUME if candle.volume is None else WITH_EARLIER_VOLUME
            self.notes[bucket] = VolumeNote(bucket, f"{use} {reason}")
        self.candles[bucket] = candle

    def judge(self, series: Series) -> UpstreamError | None:
        """Return None if the candles may be used. Otherwise refuse them all, and return why."""
        quarantine = f"in quarantine ({quarantine_request(series)})"
        if self.factor is not None:
            times = f"prices multiplied by {float(self.factor):g}"
            self._refuse_all(f"This candle came with {times}: a change of scale.")
            return PriceScaleChanged(
                f"The candles of {series} came with {times}, compared with the stored candles "
                f"or the page before: none of them is stored, they are {quarantine}. If the exchange "
                f"really changed its scale, load the pair anew: "
                + how_to_run("reload", str(series.pair)),
                host="the exchange",
            )
        if self.unlike is not None:
            first, last = iso(self.unlike.first), iso(self.unlike.last)
            self._refuse_all(
                "This candle came without one of an earlier reply to compare: its scale is unknown."
            )
            return UpstreamNonsense(
                f"The candles of {series} from {first} to {last} include no usable one that an "
                "earlier reply had for that time, so it is unknown whether their prices are of the "
                f"same scale: none of them is stored, they are {quarantine}. Try again later. If "
                "the exchange has withdrawn the newest stored candles for good, compare with more: "
                + how_to_run("update", "--reread 30")
                + ".",
                host="the exchange",
            )
        return None

    def _refuse_all(self, reason: str) -> None:
        """Refuse every candle, and record no absence: such a reply proves none."""
        self.refused.extend(RefusedCandle(bucket, reason) for bucket in self.candles)
        self.candles.clear()
        self.notes.clear()
        self._requested.clear()

    def absent(self) -> list[int]:
        """Return the requested buckets that are neither received, nor refused, nor stored."""
        # A refused candle without a readable bucket may be any of those that seem to be missing.
        if any(item.bucket is None for item in self.refused):
            return []
        refused = {item.bucket for item in self.refused}
        return sorted(self._requested - self.candles.keys() - self.stored.keys() - refused)
