"""The collector's schedule: slots at a fixed period. None runs twice; each missed one is logged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NoReturn

from app.core.errors import MmsError, OutOfTurn, StoreError, UpstreamError, UpstreamUnavailable
from app.core.logging import structlog
from app.core.prices import RefusedPrice
from app.domain.fixed_point import text
from app.services.prices import PRUNE_EVERY, Collection

JITTER_SHARE: Final = 0.05
MOST_JITTER: Final = 10.0
"""Most delay of a collection after its slot: a share of the period, at most these seconds.

Without it, services started together would always call the source at the same moment."""


Wait = Callable[[float], None]
"""Wait this many seconds. Its errors end the loop."""


@dataclass(slots=True)
class Tally:
    """Counts of slots by their result, and of prices stored and refused."""

    collected: int = 0
    failed: int = 0
    skipped: int = 0
    missed: int = 0
    stored: int = 0
    refused: int = 0


class Collector:
    """Call `collect` at every slot until `wait` raises, whatever the source does.

    The schedule follows `monotonic`, which no clock change moves. A failed collection is not
    retried before the next slot: it costs as much of the source's budget as a good one. When the
    source asks to wait, slots are skipped until then. Each slot without a collection is logged
    with the reason and counted in `tally`.
    """

    def __init__(
        self, collect: Callable[[], Collection], *, monotonic: Callable[[], float], wait: Wait
    ) -> None:
        self._collect = collect
        self._monotonic = monotonic
        self._wait = wait
        self._closed_until = monotonic()
        self._latest: Collection | None = None
        self._log = structlog.get_logger()
        self.tally = Tally()

    def run(
        self, period: float, *, jitter: Callable[[], float], tidy: Callable[[Collection], int]
    ) -> NoReturn:
        """Collect every `period` seconds, the first time at once; `tidy` runs once an hour.

        `jitter` gives a number in [0, 1) for each slot. `tidy` takes the last collection; it
        does not run before the first one.
        """
        start = self._monotonic()
        slot = 0
        tidied = start - PRUNE_EVERY
        while True:
            self._visit(slot)
            latest = self._latest
            if latest is not None and self._monotonic() - tidied >= PRUNE_EVERY:
                tidied = self._monotonic()
                tidy_up(partial(tidy, latest))
            following = max(slot + 1, int((self._monotonic() - start) // period) + 1)
            if following > slot + 1:
                missed = following - slot - 1
                self.tally.missed += missed
                self._log.warning(
                    "price_slots_missed",
                    count=missed,
                    reason="the collection took too long, or the process stood still",
                )
            slot = following
            due = start + slot * period + jitter() * min(MOST_JITTER, JITTER_SHARE * period)
            self._wait(max(0.0, due - self._monotonic()))

    def _visit(self, slot: int) -> None:
        now = self._monotonic()
        if now < self._closed_until:
            self.tally.skipped += 1
            self._log.warning(
                "price_slot_skipped",
                slot=slot,
                reason="the source asked to wait",
                seconds_left=round(self._closed_until - now),
            )
            return
        try:
            collection = self._collect()
        except (UpstreamError, StoreError) as error:
            self.tally.failed += 1
            retry_after = isinstance(error, UpstreamUnavailable) and error.retry_after
            if retry_after and not isinstance(error, OutOfTurn):
                self._closed_until = self._monotonic() + retry_after
            log = self._log.error if isinstance(error, StoreError) else self._log.warning
            log("price_collection_failed", slot=slot, reason=str(error))
        else:
            self._collected(slot, collection)

    def _collected(self, slot: int, collection: Collection) -> None:
        self._latest = collection
        self.tally.collected += 1
        self.tally.stored += len(collection.stored)
        self.tally.refused += len(collection.refused)
        log_refused(collection.refused)
        self._log.info(
            "prices_collected",
            slot=slot,
            stored=len(collection.stored),
            refused=len(collection.refused),
            prices=", ".join(f"{price.symbol} {text(price.price)}" for price in collection.stored),
        )


def log_refused(refused: Sequence[RefusedPrice]) -> None:
    """Log each refused price with its reason."""
    for item in refused:
        structlog.get_logger().warning("price_refused", symbol=item.coin.symbol, reason=item.reason)


def tidy_up(tidy: Callable[[], int]) -> bool:
    """Prune old prices; return whether that worked. An error is logged, not raised."""
    try:
        removed = tidy()
    except MmsError as error:
        structlog.get_logger().error("price_pruning_failed", reason=str(error))
        return False
    if removed:
        structlog.get_logger().info("prices_pruned", removed=removed)
    return True
