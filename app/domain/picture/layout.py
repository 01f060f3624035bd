"""Where the parts of a picture lie, in units."""

from __future__ import annotations

from typing import Final

PX: Final = 10
"""Units of a pixel: with those, whole numbers are exact enough."""

WIDTH: Final = 960 * PX
HEIGHT: Final = 520 * PX
LEFT: Final = 16 * PX
RIGHT: Final = 860 * PX
"""Where the newest slot ends, and the prices begin."""

TOP: Final = 122 * PX
PRICES: Final = 280 * PX
"""The height of the prices."""

VOLUMES: Final = 416 * PX
BOTTOM: Final = 484 * PX
"""Where volumes begin and end."""

RUNNING: Final = 16 * PX
"""The least width of the slot of the bucket that has not ended."""

LETTER: Final = 7 * PX
"""The width of an average letter, rather too large than too small: no text can be measured here."""
