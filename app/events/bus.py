"""The in-process event bus: publishing never waits, one thread delivers, every loss is logged.

Events are published after the commit that they report, so a failing listener can undo nothing. The
failure is logged with the event's name, and the other listeners still hear the event.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from app.core import waits
from app.core.logging import structlog
from app.events.types import Event

Listener = Callable[[Any], None]
Listeners = Mapping[type[Event], Sequence[Listener]]

CAPACITY: Final = 1_000
DRAIN_SECONDS: Final = 5.0


class EventBus:
    """Delivers events to the listeners of their type, in the order they were published.

    A listener does not hear subtypes. The dispatcher thread starts with the first event.
    """

    def __init__(self, listeners: Listeners, capacity: int = CAPACITY) -> None:
        self._listeners = {kind: tuple(group) for kind, group in listeners.items()}
        self._capacity = capacity
        # None ends the dispatcher. It follows the last event, so that all events come before it.
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._dispatcher: threading.Thread | None = None
        self._closed = False
        self._delivered: Counter[str] = Counter()
        self._dropped = 0

    def publish(self, event: Event) -> None:
        """Queue the event; never waits. If the queue is full, the event is dropped and counted."""
        with self._lock:
            if self._closed:
                self._drop(event, "the bus is closed")
            elif self._queue.qsize() >= self._capacity:
                self._drop(event, "the queue is full")
            else:
                self._start()
                self._queue.put(event)

    def counts(self) -> dict[str, int]:
        """The count of delivered events of each kind, and of lost ones as `dropped`."""
        with self._lock:
            return {**self._delivered, "dropped": self._dropped}

    def close(self, within: float = DRAIN_SECONDS) -> bool:
        """Deliver the queued events within `within` seconds; return whether all were delivered.

        The rest is dropped: the listeners' resources are about to be released.
        """
        with self._lock:
            self._closed = True
            dispatcher = self._dispatcher
        if dispatcher is None:
            return True
        self._queue.put(None)
        waits.join(dispatcher, within)
        left = self._abandon() + dispatcher.is_alive()
        if left:
            structlog.get_logger().error("events_undelivered", count=left, within_seconds=within)
        return not left

    def _start(self) -> None:
        if self._dispatcher is None:
            dispatcher = threading.Thread(target=self._dispatch, name="events", daemon=True)
            dispatcher.start()
            # Set only now: a stop in between must see no thread rather than one that never ran.
            self._dispatcher = dispatcher

    def _drop(self, event: Event, why: str) -> None:
        self._dropped += 1
        structlog.get_logger().error(
            "event_dropped", dropped_event=type(event).__name__, reason=why, dropped=self._dropped
        )

    def _abandon(self) -> int:
        """Empty the queue and drop its events; returns how many there were."""
        count = 0
        with suppress(queue.Empty):
            while True:
                count += self._queue.get_nowait() is not None
        self._queue.put(None)
        with self._lock:
            self._dropped += count
        return count

    def _dispatch(self) -> None:
        while (event := self._queue.get()) is not None:
            self._deliver(event)
            with self._lock:
                self._delivered[type(event).__name__] += 1

    def _deliver(self, event: Event) -> None:
        for listener in self._listeners.get(type(event), ()):
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a listener must not break the bus
                structlog.get_logger().exception(
                    "listener_failed",
                    listener=getattr(listener, "__qualname__", repr(listener)),
                    published=type(event).__name__,
                )
