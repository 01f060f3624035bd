"""What is said of a refused row, to the letter, and the stamps at the edges of what a stamp can mean."""

from __future__ import annotations

import pytest

from app.core.market import OLDEST_BUCKET, Interval, RefusedCandle
from app.utils.candles import RawCandle, closed_page, judged

DAY = Interval.DAY
STEP = DAY.seconds
FIRST = 1_711_584_000  # 2024-03-28
LAST = FIRST + 9 * STEP
NOW = LAST + STEP
GOOD = RawCandle(FIRST, "3.5", "4", "3", "3.75", "15.6")
LONG = "x" * 59
"""A text that takes 61 characters in quotation marks."""


def reason(row: RawCandle) -> str:
    """Why the only row of a page is refused."""
    page = closed_page([row], DAY, FIRST, LAST, NOW)
    assert page.candles == ()
    (refusal,) = page.refused
    return refusal.reason


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"open": None}, "The open is missing."),
        ({"high": [1]}, "The high (a list) is no number."),
        ({"low": {}}, "The low (an object) is no number."),
        ({"close": 3.75}, "The close 3.75 is no number."),
        ({"close": "x"}, "The close cannot be used: 'x' is not a decimal number."),
        ({"close": "0"}, "The close '0' is not above zero."),
        (
            {"high": "461168601.84273880"},
            "The high '461168601.84273880' is above 461168601.84273879, the highest price whose "
            "averages are exact.",
        ),
        ({"open": "4.1"}, "The open 4.1 lies above the high 4."),
        ({"close": "2.9"}, "The close 2.9 lies below the low 3."),
        ({"volume": "-1"}, "The volume '-1' is negative or too large."),
        ({"bucket": None}, "The stamp is missing."),
        ({"bucket": "1.5"}, "The stamp '1.5' is no whole number of seconds."),
        ({"bucket": 7}, "The stamp 7 lies before 2011, when nothing was traded."),
        ({"bucket": "7"}, "The stamp '7' lies before 2011, when nothing was traded."),
        ({"bucket": NOW + STEP + 1}, f"The stamp {NOW + STEP + 1} lies in the future."),
        ({"bucket": FIRST + 1}, f"The stamp {FIRST + 1} is not the start of a bucket of 1d."),
        (
            {"bucket": f"{FIRST}000"},
            f"The stamp '{FIRST}000' looks like milliseconds, not unix seconds.",
        ),
        ({"bucket": 10**25}, f"The stamp {10**25} is no time in unix seconds."),
        ({"close": [LONG]}, "The close (a list) is no number."),
        ({"close": {LONG: 1}}, "The close (an object) is no number."),
        ({"close": (LONG,)}, f"The close ('{LONG[:58]} is no number."),
        (
            {"bucket": "1." + "5" * 38},
            f"The stamp cannot be used: 1.{'5' * 38} is finer than 1e-8, the smallest step kept.",
        ),
        ({"bucket": 10**80}, f"The stamp 1{'0' * 59} is no time in unix seconds."),
    ],
)
def test_a_refusal_is_a_sentence_that_names_field_value_and_rule(
    changed: dict[str, object], sentence: str
) -> None:
    assert reason(GOOD._replace(**changed)) == sentence


def test_of_rows_that_differ_all_are_refused_in_one_sentence() -> None:
    _, refused = judged([GOOD, GOOD._replace(close="3.5"), GOOD], DAY, FIRST, LAST)
    assert refused == (
        RefusedCandle(FIRST, "This bucket came more than once, with different values."),
    )


def test_the_oldest_bucket_is_a_time_and_the_second_before_is_none() -> None:
    rows = [GOOD._replace(bucket=OLDEST_BUCKET), GOOD._replace(bucket=OLDEST_BUCKET - 1)]
    candles, refused = judged(rows, DAY, OLDEST_BUCKET, OLDEST_BUCKET)
    assert [item.bucket for item in candles] == [OLDEST_BUCKET]
    assert [item.bucket for item in refused] == [None]


@pytest.mark.parametrize(
    ("stamp", "unit"),
    [
        (10**11, "milliseconds"),
        (10**14 - 1, "milliseconds"),
        (10**14, "microseconds"),
        (10**17 - 1, "microseconds"),
        (10**17, "nanoseconds"),
        (10**20 - 1, "nanoseconds"),
    ],
)
def test_a_stamp_is_taken_for_the_coarsest_unit_in_which_it_is_a_time(
    stamp: int, unit: str
) -> None:
    _, (refusal,) = judged([GOOD._replace(bucket=stamp)], DAY, FIRST, LAST)
    assert refusal.reason == f"The stamp {stamp} looks like {unit}, not unix seconds."
    _, (refusal,) = judged([GOOD._replace(bucket=10**20)], DAY, FIRST, LAST)
    assert refusal.reason == f"The stamp {10**20} is no time in unix seconds."


@pytest.mark.parametrize("unit", [10**3, 10**6, 10**9])
def test_a_stamp_in_a_finer_unit_belongs_to_its_bucket_to_the_last_unit(unit: int) -> None:
    known = {
        FIRST * unit - 1: None,
        FIRST * unit: FIRST,
        (FIRST + STEP) * unit - 1: FIRST,
        (FIRST + STEP) * unit: FIRST + STEP,
        (LAST + STEP) * unit - 1: LAST,
        (LAST + STEP) * unit: None,
    }
    for stamp, bucket in known.items():
        _, (refusal,) = judged([GOOD._replace(bucket=stamp)], DAY, FIRST, LAST)
        assert refusal.bucket == bucket
