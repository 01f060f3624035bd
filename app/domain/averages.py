"""Exact simple moving averages in 64-bit fixed point, all windows in one pass over the closes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.core.errors import UnrepresentablePrice

Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def moving_averages(
    buckets: Int64Array, closes: Int64Array, step: int, windows: Sequence[int]
) -> tuple[Int64Array, BoolArray]:
    """Compute the mean of each row's last N consecutive buckets, for every N in `windows`.

    `buckets` are ascending unique multiples of `step`. `closes` are at least 0, all in the same
    fixed point unit. Returns (values, exists), both of shape (len(windows), len(closes)). `values`
    holds the exact mean, rounded half to even, in the unit of the closes. Where the N buckets that
    end at the row are not all there, `exists` is False and the value is 0.

    Raises UnrepresentablePrice where a window's sum could exceed 63 bits.

    Why it is exact: the running sum wraps modulo 2^64, but the difference of two of its values is
    the true window sum, because that sum is guaranteed to fit. Division is done on integers.
    """
    rows = len(closes)
    values = np.zeros((len(windows), rows), dtype=np.int64)
    exists = np.zeros((len(windows), rows), dtype=np.bool_)
    if rows == 0 or not windows:
        return values, exists
    if int(closes.min()) < 0 or int(closes.max()) * max(windows) >= 2**63:
        raise UnrepresentablePrice(
            f"closes between {int(closes.min())} and {int(closes.max())} cannot be averaged over "
            f"{max(windows)} buckets in 64 bits"
        )
    running = np.zeros(rows + 1, dtype=np.uint64)
    np.cumsum(closes.astype(np.uint64), out=running[1:])
    for index, window in enumerate(windows):
        if rows < window:
            continue
        # Rows are unique and ascending on the grid, so N of them span N - 1 steps only when no
        # bucket between them is missing.
        span = buckets[window - 1 :] - buckets[: rows - window + 1]
        whole = span == (window - 1) * step
        mean = _mean(running[window:] - running[:-window], window)
        values[index, window - 1 :] = np.where(whole, mean, 0)
        exists[index, window - 1 :] = whole
    return values, exists


def _mean(sums: NDArray[np.uint64], window: int) -> Int64Array:
    """Divide and round half to even: half up first, then ties with an odd result step back."""
    lifted = sums + np.uint64(window // 2)
    mean = lifted // np.uint64(window)
    if window % 2 == 0:
        tie = mean * np.uint64(window) == lifted
        mean -= tie & (mean & np.uint64(1)).astype(np.bool_)
    return mean.astype(np.int64)
