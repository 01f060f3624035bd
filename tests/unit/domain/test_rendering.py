"""Series as the bytes of the wire."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.core.market import AverageRow, Candle, Exact
from app.domain.fixed_point import as_decimal
from app.domain.rendering import averages, candles

PRICE = st.integers(0, 2**63 - 1)
TEXT = st.builds("{}.{}".format, st.integers(10**11, 10**40 - 1), st.integers(1, 9))


def test_averages_are_an_array_of_exact_decimals() -> None:
    body = averages([(1_640_995_200, 19_366_952_350_168), (1_641_081_600, 26_206_400_000_000)])
    assert body == (
        b'[{"timestamp":1640995200,"mms":193669.52350168},{"timestamp":1641081600,"mms":262064.0}]\n'
    )


def test_a_candle_has_its_averages_only_where_they_are_asked_for() -> None:
    rows = [(Candle(60, 1, 3, 0, 2, 10**8), AverageRow(60, (5, None, 7)))]
    plain = {"timestamp": 60, "open": 1, "high": 3, "low": 0, "close": 2, "volume": 10**8}
    exact = {
        key: value if key == "timestamp" else Decimal(value).scaleb(-8)
        for key, value in plain.items()
    }
    assert json.loads(candles(rows), parse_float=Decimal) == [exact]
    asked = json.loads(candles(rows, (50, 200)), parse_float=Decimal)
    assert asked == [{**exact, "mms_50": None, "mms_200": Decimal("7e-8")}]


@given(
    st.tuples(PRICE, PRICE, PRICE, PRICE),
    PRICE | TEXT | st.none(),
    st.lists(PRICE | st.none(), min_size=3, max_size=3),
)
def test_every_candle_is_read_back_to_the_last_digit(
    prices: tuple[int, int, int, int], volume: Exact | None, means: list[int | None]
) -> None:
    body = candles([(Candle(60, *prices, volume), AverageRow(60, tuple(means)))], (20, 50, 200))
    [found] = json.loads(body, parse_float=Decimal)
    names = ("open", "high", "low", "close")
    assert tuple(int(found[name].scaleb(8)) for name in names) == prices
    assert found["volume"] == (None if volume is None else as_decimal(volume))
    values = [found[f"mms_{window}"] for window in (20, 50, 200)]
    assert [None if v is None else int(v.scaleb(8)) for v in values] == means
