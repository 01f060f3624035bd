"""Which modules are mutated, and which tests have to notice."""

from __future__ import annotations

from typing import Final

_LOADING: Final = (
    "tests/unit/services/test_comparing.py",
    "tests/unit/services/test_loaders.py",
    "tests/unit/services/test_loading.py",
    "tests/unit/services/test_loading_records.py",
    "tests/unit/services/test_loading_reports.py",
)

TESTS: Final[dict[str, tuple[str, ...]]] = {
    "app/services/comparing.py": _LOADING,
    "app/services/loading.py": _LOADING,
    "app/services/averages.py": ("tests/unit/services/test_averages_reading.py",),
    "app/services/gaps.py": ("tests/unit/services/test_gaps_inspection.py",),
    "app/services/coverage.py": ("tests/unit/services/test_coverage.py",),
    "app/services/leasing.py": ("tests/unit/services/test_leasing.py",),
    "app/domain/candles.py": ("tests/unit/domain/test_candles.py",),
    "app/domain/averages.py": ("tests/unit/domain/test_averages.py",),
    "app/domain/gaps.py": ("tests/unit/domain/test_gaps.py",),
    "app/db/cache/blocks.py": ("tests/unit/db/test_blocks.py",),
    "app/domain/fixed_point.py": ("tests/unit/domain/test_fixed_point.py",),
    "app/domain/revisions.py": ("tests/unit/domain/test_revisions.py",),
    "app/domain/rendering.py": ("tests/unit/domain/test_rendering.py",),
    "app/domain/price_scale.py": ("tests/unit/domain/test_price_scale.py",),
    "app/domain/times.py": ("tests/unit/domain/test_times.py",),
    "app/db/cache/memcached.py": (
        "tests/unit/db/test_memcached_states.py",
        "tests/unit/db/test_memcached_nonsense.py",
        "tests/integration/contracts/test_cache.py",
    ),
    "app/db/cache/signing.py": ("tests/unit/db/test_signing.py",),
    "app/db/cache/memory.py": ("tests/unit/db/test_memory_cache.py",),
    "app/db/cache/averages.py": (
        "tests/unit/db/test_cached_averages.py",
        "tests/unit/db/test_cached_readers.py",
        "tests/unit/db/test_cached_series.py",
        "tests/unit/db/test_warm_averages.py",
    ),
    "app/db/cache/single_flight.py": ("tests/unit/db/test_single_flight.py",),
}
"""Module → its unit and contract tests."""

ONLY: Final[dict[str, str]] = {
    "app/db/cache/memcached.py": "not three",
}
"""Module → which of its tests, as pytest's -k: a contract's tests run for every kind of cache."""
