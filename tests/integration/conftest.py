"""Databases of both kinds, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.conftest import absent

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.sights import Site


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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A served database with something of everything, and the chart's library."""
    from tests.support.sights import LIBRARY, serving, sights

    if not LIBRARY.is_file():
        absent("chart", "the chart's library is not there (make chart)")
    with sights(tmp_path_factory.mktemp("site")) as seen, serving(seen) as served:
        yield served
