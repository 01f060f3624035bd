"""Decimal text and whole multiples of 1e-8: exact both ways, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import UnrepresentablePrice
from app.domain.fixed_point import SCALE, as_decimal, exact, kept, text

LIMIT = 2**63 - 1


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0.0"),
        (1, "0.00000001"),
        (-1, "-0.00000001"),
        (SCALE, "1.0"),
        (-SCALE - 20, "-1.0000002"),
        (19_366_952_350_168, "193669.52350168"),
        (LIMIT, "92233720368.54775807"),
    ],
)
def test_a_number_is_written_as_short_as_a_float_can_be(value: int, written: str) -> None:
    assert text(value) == written


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", SCALE),
        ("007", 7 * SCALE),
        ("1.5", 15 * SCALE // 10),
        ("0.00000001", 1),
        ("-0.00000001", -1),
        ("-0", 0),
        ("1e-8", 1),
        ("92233720368.54775807", LIMIT),
        ("-92233720368.54775807", -LIMIT),
        ("0e9999", 0),
    ],
)
def test_every_way_to_write_a_decimal_is_read_exactly(written: str, value: int) -> None:
    assert exact(written) == value


@pytest.mark.parametrize(
    "written",
    [
        "92233720368.54775808",
        "-92233720368.54775808",
        "1e11",
        "1e9999",
    ],
)
def test_what_does_not_fit_in_64_bits_is_refused_whole(written: str) -> None:
    with pytest.raises(UnrepresentablePrice, match="does not fit in 64 bits"):
        exact(written)


@pytest.mark.parametrize(
    "written",
    [
        *("", " 1", "1 ", "1\n", "+1", "-", "--1", "1.", ".5", "1,5", "1_000", "١", "0x10"),
        *("1e", "e5", "1e12345", "NaN", "Infinity", "1" * 41, "1." + "1" * 41),
    ],
)
def test_what_is_no_decimal_number_is_refused_as_such(written: str) -> None:
    for read in (exact, kept):
        with pytest.raises(UnrepresentablePrice, match="is not a decimal number"):
            read(written)


@pytest.mark.parametrize("written", ["0.000000001", "-1.123456789", "1e-9", "1e-9999"])
def test_what_is_finer_than_the_tick_is_refused_where_it_must_be_exact(written: str) -> None:
    with pytest.raises(UnrepresentablePrice, match="finer than 1e-8"):
        exact(written)


@given(st.decimals("-92233720368", "92233720368", places=12))
def test_a_number_is_read_exactly_or_refused_as_finer(value: Decimal) -> None:
    written = format(value, "f")
    if value * SCALE == (value * SCALE).to_integral_value():
        assert exact(written) == kept(written) == value * SCALE
    else:
        assert as_decimal(kept(written)) == value
        with pytest.raises(UnrepresentablePrice, match="finer"):
            exact(written)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.5", 15 * SCALE // 10),
        ("1.4e-8", "0.000000014"),
        ("1.2e-05", 1200),
        ("92233720368.54775807", LIMIT),
        ("92233720368.54775808", "92233720368.54775808"),
        ("2762299281351", "2762299281351.0"),
        ("276229928135100e-2", "2762299281351.0"),
        ("-0.0000000010", "-0.000000001"),
        ("0.0000000000", 0),
        ("9" * 40 + "." + "9" * 40, "9" * 40 + "." + "9" * 40),
    ],
)
def test_a_number_without_a_tick_is_kept_as_it_is(written: str, value: int | str) -> None:
    assert kept(written) == value
    assert kept(text(value)) == value
    assert as_decimal(value) == Decimal(written)


@pytest.mark.parametrize("written", ["1e40", "1e-41", "1e9999", "NaN", "", "1,5"])
def test_a_number_of_too_many_digits_is_refused(written: str) -> None:
    with pytest.raises(UnrepresentablePrice, match=r"digits|decimal number"):
        kept(written)
