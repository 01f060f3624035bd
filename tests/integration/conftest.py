"""Databases of both kinds."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", "postgres"])
def db_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once for each kind that is supported."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
