"""The collector's schedule: slots at fixed distances from the start, none twice, none unsaid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import structlog

from app.core.errors import MmsError, StoreError, UpstreamError, UpstreamUnavailable
from app.core.ports import Clock
from app.services.prices import PRUNE_EVERY, Collection

JITTER_SHARE: Final = 0.05
MOST_JITTER: Final = 10.0
"""A collection begins up to this share of the period, or these seconds, after its slot: services that
were started together do not come together for ever."""


class Wait(Protocol):
    """Something to wait on that may end the wait early; a `threading.Event` is one."""

    def wait(self, timeout: float) -> bool:
        """Wait; True ends the loop."""
        ...


class Collector:
    """Calls `collect` at every slot until told to stop, whatever the source does.

    `clock` gives unix seconds. A failed collection is not repeated before its next slot: it counts
    against the source's budget like a good one, and when the source asks to wait, slots are skipped
    until then. Each slot without a collection leaves a line in the log that says why.
    """

    def __init__(self, collect: Callable[[], Collection], *, clock: Clock, wait: Wait) -> None:
        self._collect = collect
        self._clock = clock
        self._wait = wait
        self._closed_until = 0.0
        self._log = structlog.get_logger()

    def run(
        self, period: float, *, jitter: Callable[[], float], tidy: Callable[[], object]
    ) -> None:
        """Collect every `period` seconds, the first time at once; `tidy` runs once an hour.

        `jitter` gives a number in [0, 1) for each slot.
        """
        start = self._clock()
        slot = 0
        tidied = start - PRUNE_EVERY
        while True:
            self._visit(slot)
            if self._clock() - tidied >= PRUNE_EVERY:
                tidied = self._clock()
                self._tidied(tidy)
            following = max(slot + 1, int((self._clock() - start) // period) + 1)
            if following > slot + 1:
                self._log.warning(
                    "price_slots_missed",
                    count=following - slot - 1,
                    reason="the collection took too long, or the machine slept",
                )
            slot = following
            due = start + slot * period + jitter() * min(MOST_JITTER, JITTER_SHARE * period)
            if self._wait.wait(max(0.0, due - self._clock())):
                return

    def _visit(self, slot: int) -> None:
        now = self._clock()
        if now < self._closed_until:
            self._log.warning(
                "price_slot_skipped",
                slot=slot,
                reason="the source asked to wait",
                seconds_left=round(self._closed_until - now),
            )
            return
        try:
            found = self._collect()
        except UpstreamError as error:
            if isinstance(error, UpstreamUnavailable) and error.retry_after:
                self._closed_until = self._clock() + error.retry_after
            self._log.warning("price_collection_failed", slot=slot, reason=str(error))
        except StoreError as error:
            self._log.error("price_collection_failed", slot=slot, reason=str(error))
        else:
            for refused in found.refused:
                self._log.warning(
                    "price_refused", symbol=refused.coin.symbol, reason=refused.reason
                )
            self._log.info(
                "prices_collected", slot=slot, stored=len(found.stored), refused=len(found.refused)
            )

    def _tidied(self, tidy: Callable[[], object]) -> None:
        try:
            removed = tidy()
        except MmsError as error:
            self._log.error("price_pruning_failed", reason=str(error))
        else:
            if removed:
                self._log.info("prices_pruned", removed=removed)
