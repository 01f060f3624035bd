"""Prices as whole multiples of 1e-8 in a 64-bit integer, and their decimal text.

1e-8 is Mercado Bitcoin's own tick (`pricescale` 100000000). Volumes and spot prices have no tick:
where such a number does not fit, its decimal text is kept (`Exact`). No value passes through a
binary float: text becomes `Decimal`, and `Decimal` becomes `int`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from app.core.errors import UnrepresentablePrice
from app.core.market import Exact

PLACES: Final = 8
SCALE: Final = 10**PLACES

DIGITS: Final = 40
"""The most digits that `kept` keeps on either side of the decimal point."""

_DECIMAL: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_LIMIT: Final = 2**63 - 1
# Enough digits and exponents for all that _DECIMAL accepts: scaling never rounds or fails by
# itself, and every rounding below is explicit.
_CONTEXT: Final = Context(prec=120, rounding=ROUND_HALF_EVEN, Emin=-99_999, Emax=99_999)


def exact(text: str) -> int:
    """Read the decimal number in `text` in units of 1e-8, exactly.

    Raises UnrepresentablePrice where the text is not a finite decimal number, is finer than 1e-8,
    or does not fit in 64 bits. The sign is kept: negative prices are not judged here.
    """
    scaled = _within(_scaled(text), text)
    if scaled != scaled.to_integral_value(context=_CONTEXT):
        raise UnrepresentablePrice(f"{text[:60]} is finer than 1e-{PLACES}, the smallest step kept")
    return int(scaled)


def kept(text: str) -> Exact:
    """Read the decimal number in `text` as it is, however large or fine.

    Raises UnrepresentablePrice where the text is not a finite decimal number, or has more than
    `DIGITS` digits before or after the point.
    """
    scaled = _scaled(text)
    if abs(scaled) <= _LIMIT and scaled == scaled.to_integral_value(context=_CONTEXT):
        return int(scaled)
    plain = f"{scaled.scaleb(-PLACES, context=_CONTEXT).normalize(_CONTEXT):f}"
    whole, _, fraction = plain.lstrip("-").partition(".")
    if max(len(whole), len(fraction)) > DIGITS:
        raise UnrepresentablePrice(
            f"{text[:60]} has more than {DIGITS} digits before or after the point"
        )
    return plain if fraction else f"{plain}.0"


def as_decimal(value: Exact) -> Decimal:
    """Return the number itself, in units of 1."""
    return Decimal(text(value))


def in_one_unit(values: Sequence[Exact]) -> list[int]:
    """The same numbers as whole multiples of one unit: 1e-8, or a finer one that all of them fit.

    The unit depends on the numbers. What is computed from the results may depend on ratios alone.
    """
    if all(isinstance(value, int) for value in values):
        return [int(value) for value in values]
    decimals = [text(value) for value in values]
    places = max(PLACES, *(len(number.partition(".")[2]) for number in decimals))
    return [int(Decimal(number).scaleb(places, context=_CONTEXT)) for number in decimals]


def text(value: Exact) -> str:
    """Render `value` (an int is in 1e-8) as the shortest exact decimal number with a decimal point.

    The result is a JSON number with at least one decimal place, so that typed readers take it for a
    float: `193669.52350168`, `262064.0`.
    """
    if isinstance(value, str):
        return value
    sign = "-" if value < 0 else ""
    whole, fraction = divmod(abs(value), SCALE)
    return f"{sign}{whole}.{f'{fraction:08d}'.rstrip('0') or '0'}"


def _scaled(text: str) -> Decimal:
    if _DECIMAL.fullmatch(text) is None:
        raise UnrepresentablePrice(
            f"{text[:60]!a} is not a decimal number with at most {DIGITS} digits before the point "
            "and as many after it"
        )
    return Decimal(text).scaleb(PLACES, context=_CONTEXT)


def _within(scaled: Decimal, text: str) -> Decimal:
    if abs(scaled) > _LIMIT:
        raise UnrepresentablePrice(f"{text[:60]} does not fit in 64 bits at 1e-{PLACES}")
    return scaled
