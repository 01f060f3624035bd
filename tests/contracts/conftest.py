"""Stores, caches and rate limiters under one contract: here, the kinds that need no service.

Each module names in ALONE the kinds that its fixtures make without a service, and in SERVICES those
with PostgreSQL or memcached, which tests/integration/contracts runs.
"""

from __future__ import annotations

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test for every kind in ALONE."""
    for name, kinds in metafunc.module.ALONE.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, kinds, indirect=True)
