"""A threshold is read as people write it, or refused with what is allowed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.errors import InvalidParameter
from app.core.prices import parse_threshold


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.05", "0.05"),
        ("5", "5"),
        ("1000", "1000"),
        ("0.00000001", "0.00000001"),
        ("007.5", "7.5"),
    ],
)
def test_thresholds_are_read_as_people_write_them(text: str, value: str) -> None:
    assert parse_threshold(text) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0", "is not above 0"),
        ("1000.00000001", "is above 1000"),
        ("0.000000001", "has more than 8 decimal places"),
        *(
            (text, "is not a plain decimal number")
            for text in ("", "5%", "-0.05", "0,05", ".05", "1e-2", "nan")
        ),
    ],
)
def test_a_threshold_that_cannot_be_used_is_refused_with_what_is_allowed(
    text: str, problem: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_threshold(text, "limit")
    assert str(refused.value).startswith(f"limit={text!r} {problem}. Write a fraction above 0 ")
