"""Series as the bytes of the wire."""

from __future__ import annotations

from app.domain.rendering import averages


def test_averages_are_an_array_of_exact_decimals() -> None:
    body = averages([(1_640_995_200, 19_366_952_350_168), (1_641_081_600, 26_206_400_000_000)])
    assert body == (
        b'[{"timestamp":1640995200,"mms":193669.52350168},{"timestamp":1641081600,"mms":262064.0}]\n'
    )
