"""The one place that names concrete classes: settings become engine, stores and sources.

The API and every command call this and nothing else to get what they work with. NumPy is not
imported from here: the API does without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from app.core.ports import AverageStore, Clock, SeriesStore
from app.core.settings import Settings


@dataclass(frozen=True)
class Runtime:
    """What a process works with. `close` gives everything back; call it once, at the end."""

    settings: Settings
    clock: Clock
    series: SeriesStore
    averages: AverageStore
    ping: Callable[[], None]
    """Asks the database the smallest question. Raises StoreError."""
    close: Callable[[], None]


def build(settings: Settings, clock: Clock = time.time) -> Runtime:
    """Open the database and wire everything up. Raises StoreError where it cannot be used."""
    raise NotImplementedError
