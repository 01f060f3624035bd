"""Which candles of a reply may be used, worked out again from the rules and not from the code.

The rules (docs/decisions/0005, docs/decisions/0004): a candle counts when its bucket lies on its
interval's grid, begins in 2011 or later, was asked for, and ended two seconds ago by the exchange's
clock. Prices are decimal numbers above zero, whole multiples of 1e-8, not so high that 200 of them pass
64 bits; none lies above the high or below the low. The volume is a decimal number, not negative, and fits
in 64 bits once it is rounded half to even. Rows of one bucket must agree; else none of them counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

STEPS: Final = {"1m": 60, "15m": 900, "1h": 3_600, "3h": 10_800, "1d": 86_400}
SECOND_2011: Final = 1_293_840_000
TICK: Final = 10**8
HIGHEST: Final = (2**63 - 1) // 200
LARGEST: Final = 2**63 - 1
SETTLED: Final = 2
MILLISECONDS: Final = 10**11
"""From here on, a stamp means milliseconds (1973) or less rather than seconds (5138)."""

Values = tuple[int, int, int, int, int, int]
"""Bucket, open, high, low, close, volume; prices and volume in 1e-8."""

ITS_OWN: Final = (
    "stamp no number", "stamp with a fraction", "stamp off the grid", "stamp before 2011",
    "stamp in ms, µs or ns", "price missing or no number", "price finer than 1e-8",
    "price zero or negative", "price too high", "high below low", "open or close outside",
    "volume missing or no number", "volume negative", "volume too large",
)  # fmt: skip
"""What can be wrong with a row by itself, whoever asks for it and whenever."""

OF_ITS_REPLY: Final = ("in the future", "running or just ended", "duplicates that differ")
"""What can be wrong with a sound row where it stands."""

VALID: Final = "valid"
NOT_ASKED_FOR: Final = "not asked for"
"""Sound, but of another time: nothing is wrong with it, and it must not be used all the same."""

_WRITTEN: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_LONGEST_EXPONENT: Final = 400


def verdicts(
    rows: Sequence[tuple[object, ...]], interval: str, first: int, last: int, now: int
) -> list[str]:
    """What each row is: VALID, NOT_ASKED_FOR, or its fault; `now` is the exchange's time."""
    faults = [fault(row, interval) for row in rows]
    found: dict[int | None, set[object]] = {}
    for row, own in zip(rows, faults, strict=True):
        found.setdefault(whole(row[0], 1), set()).add(own or _meant(row))
    judged = []
    for row, own in zip(rows, faults, strict=True):
        agreed = len(found[whole(row[0], 1)]) == 1
        judged.append(own or _of_its_reply(_meant(row)[0], interval, first, last, now, agreed))
    return judged


def acceptable(rows: Sequence[tuple[object, ...]], judged: Sequence[str]) -> dict[int, Values]:
    """The candles that may be used, by bucket, of rows with their verdicts."""
    values = [_meant(row) for row, verdict in zip(rows, judged, strict=True) if verdict == VALID]
    return {value[0]: value for value in values}


def fault(row: tuple[object, ...], interval: str) -> str:
    """The first thing of ITS_OWN that is wrong with a row; empty where it is sound."""
    stamp = _number(row[0])
    prices = [_number(value) for value in row[1:5]]
    amount = _number(row[5])
    if stamp is None:
        return "stamp no number"
    if stamp.denominator != 1:
        return "stamp with a fraction"
    if stamp >= MILLISECONDS:
        return "stamp in ms, µs or ns"
    if stamp < SECOND_2011:
        return "stamp before 2011"
    if stamp % STEPS[interval]:
        return "stamp off the grid"
    known = [price for price in prices if price is not None]
    if len(known) < 4:
        return "price missing or no number"
    if any((price * TICK).denominator != 1 for price in known):
        return "price finer than 1e-8"
    opened, high, low, close = known
    if min(known) <= 0:
        return "price zero or negative"
    if max(known) * TICK > HIGHEST:
        return "price too high"
    if high < low:
        return "high below low"
    if not (low <= opened <= high and low <= close <= high):
        return "open or close outside"
    if amount is None:
        return "volume missing or no number"
    if round(amount * TICK) < 0:
        return "volume negative"
    return "volume too large" if round(amount * TICK) > LARGEST else ""


def consistent(values: Values, interval: str) -> bool:
    """Whether whole numbers, prices and volume in 1e-8, could be a candle at all."""
    bucket, opened, high, low, close, volume = values
    return (
        SECOND_2011 <= bucket < MILLISECONDS
        and bucket % STEPS[interval] == 0
        and 0 < low <= min(opened, close)
        and max(opened, close) <= high <= HIGHEST
        and 0 <= volume <= LARGEST
    )


def whole(value: object, scale: int) -> int | None:
    """A number as a whole one of 1 / scale; None where it is none."""
    number = _number(value)
    if number is None or (number * scale).denominator != 1:
        return None
    return int(number * scale)


def rounded(value: object) -> int | None:
    """A volume in 1e-8; None where it is no number."""
    number = _number(value)
    return None if number is None else round(number * TICK)  # Python rounds half to even


def _of_its_reply(bucket: int, interval: str, first: int, last: int, now: int, agreed: bool) -> str:
    if bucket > now:
        return "in the future"
    if bucket + STEPS[interval] + SETTLED > now:
        return "running or just ended"
    if not agreed:
        return "duplicates that differ"
    return VALID if first <= bucket <= last else NOT_ASKED_FOR


def _meant(row: tuple[object, ...]) -> Values:
    """The numbers of a sound row."""
    opened, high, low, close = (whole(value, TICK) or 0 for value in row[1:5])
    return whole(row[0], 1) or 0, opened, high, low, close, rounded(row[5]) or 0


def _number(value: object) -> Fraction | None:
    """A whole number or the text of a decimal one; anything else is no number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value)
    if not isinstance(value, str) or _WRITTEN.fullmatch(value) is None:
        return None
    exponent = value.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > _LONGEST_EXPONENT:
        return None  # far outside everything, and slow
    return Fraction(value)
