"""The colours of a picture. Text has a contrast of 4.5 to 1 at least, lines have 3 to 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from app.core.market import Window


class Theme(Enum):
    """The name of a set of colours."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Colours:
    """What is drawn in which colour; `lines` are those of the averages, by window."""

    background: str
    text: str
    muted: str
    grid: str
    up: str
    down: str
    hole: str
    lines: Mapping[Window, str]


COLOURS: Final = {
    Theme.LIGHT: Colours(
        background="#ffffff",
        text="#1b2733",
        muted="#5b6773",
        grid="#e4e8ec",
        up="#0f8a6d",
        down="#c0362c",
        hole="#b45309",
        lines={20: "#b45309", 50: "#0b6bcb", 200: "#7c3aed"},
    ),
    Theme.DARK: Colours(
        background="#0f1720",
        text="#e6edf3",
        muted="#9aa7b4",
        grid="#22303c",
        up="#3fc79a",
        down="#ff7b72",
        hole="#f0b64a",
        lines={20: "#f0b64a", 50: "#5ab0ff", 200: "#c4a5ff"},
    ),
}
