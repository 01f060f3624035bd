"""Databases of both kinds, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.conftest import absent

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(params=["sqlite", "postgres"])
def db_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once for each kind that is supported."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium, started once for a module."""
    from tests.support.browser import program, running  # the import takes a while

    path = program()
    if path is None:
        absent("chromium", "the program chromium is not installed")
    with running(path) as started:
        yield started
