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


@pytest.fixture(scope="session")
def chart_library() -> None:
    """The library that draws the page's chart."""
    from tests.support.sights import LIBRARY

    if not LIBRARY.is_file():
        absent("chart", "the chart's library is not there (make chart)")


@pytest.fixture(scope="session")
def site(chart_library: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A served database with something of everything. No test changes it."""
    from tests.support.sights import serving, sights

    with sights(tmp_path_factory.mktemp("site")) as seen, serving(seen) as served:
        yield served


@pytest.fixture(scope="session")
def axe() -> str:
    """The code of axe-core, which judges how accessible a page is."""
    from tests.support.sights import AXE

    if not AXE.is_file():
        absent("axe", "axe-core is not there (make install)")
    return AXE.read_text("utf-8")
