"""The contracts of tests/contracts, for the kinds that need PostgreSQL or memcached."""

from __future__ import annotations

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test for every kind in SERVICES."""
    for name, kinds in metafunc.module.SERVICES.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, kinds, indirect=True)
