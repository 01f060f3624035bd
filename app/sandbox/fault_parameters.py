"""The shape of a kind of fault and of its parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Final

_INTEGER: Final = re.compile(r"-?[0-9]{1,12}", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

CANDLES: Final = "candles"
PRICES: Final = "prices"
TICKERS: Final = "tickers"
EVERYTHING: Final = frozenset({CANDLES, PRICES, TICKERS, ""})
"""What a request may be about; the empty text stands for anything else."""


class Acts(Enum):
    """On what a fault acts. Of those that spoil a whole reply (REPLY and SENDING) one acts at a time,
    the oldest, so that several make a sequence; the others all act, in the order they were made."""

    MARKET = "on what the exchange knows"
    BODY = "on the body of a good reply"
    REPLY = "in place of the reply"
    SENDING = "while the reply is sent"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: `allowed` says in words what `fits` accepts; without `default` it must be written.

    `shown` is how help writes it.
    """

    allowed: str
    fits: Callable[[str], bool]
    default: str | None = None
    shown: str = "N"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. `value` is what stands right after its name, `options` what may follow."""

    name: str
    acts: Acts
    says: str
    value: Parameter | None = None
    options: Mapping[str, Parameter] = field(default_factory=dict)
    subjects: frozenset[str] = EVERYTHING

    @property
    def parameters(self) -> dict[str, Parameter]:
        """All its own parameters; the one after the name is called `value`."""
        return {**({"value": self.value} if self.value else {}), **self.options}


def number(low: float, high: float, default: str | None = None) -> Parameter:
    """A decimal number between two bounds, both included."""

    def fits(text: str) -> bool:
        try:
            return low <= float(text) <= high
        except ValueError:
            return False

    return Parameter(f"a number from {low:g} to {high:g}", fits, default)


def whole(low: int, high: int, default: str | None = None) -> Parameter:
    """A whole number between two bounds, both included."""

    def fits(text: str) -> bool:
        return _INTEGER.fullmatch(text) is not None and low <= int(text) <= high

    return Parameter(f"a whole number from {low} to {high}", fits, default)


def one_of(names: Iterable[str], default: str | None = None) -> Parameter:
    """One of some words."""
    known = tuple(names)
    words = f"one of {', '.join(known)}"
    return Parameter(words, lambda text: text in known, default, "|".join(known))


def anything(what: str, default: str | None = None, shown: str = "TEXT") -> Parameter:
    """Any text of one line, in ASCII."""
    return Parameter(what, lambda text: text.isascii() and text.isprintable(), default, shown)


def decimal(default: str | None = None) -> Parameter:
    """A decimal number, right or wrong as a price."""
    return Parameter("a decimal number", _is_decimal, default)


def factor(default: str | None = None) -> Parameter:
    """What to multiply by, or with a slash before it to divide by."""
    return Parameter("a factor such as 100, 0.5 or /100", _is_factor, default)


def candle(default: str) -> Parameter:
    """Which candles of a reply."""
    allowed = "a place in the reply (0 is the first, -1 the last), a date, unix seconds, or all"
    return Parameter(allowed, _is_candle, default)


def _is_decimal(text: str) -> bool:
    try:
        return Decimal(text).is_finite() and abs(Decimal(text)) < 10**30
    except InvalidOperation:
        return False


def _is_factor(text: str) -> bool:
    try:
        return math.isfinite(found := float(text.removeprefix("/"))) and 1e-9 <= found <= 1e9
    except ValueError:
        return False


def _is_candle(text: str) -> bool:
    return text == "all" or bool(_INTEGER.fullmatch(text) or _DATE.fullmatch(text))
