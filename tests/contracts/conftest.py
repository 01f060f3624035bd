"""Kinds of stores, caches and gates that are held to one contract: here, those that need no service.

Each module says in ALONE which kinds its fixtures make without one, and in SERVICES which they make with
PostgreSQL or memcached: those are held to it in tests/integration/contracts.
"""

from __future__ import annotations

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test for every kind in ALONE."""
    for name, kinds in metafunc.module.ALONE.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, kinds, indirect=True)
