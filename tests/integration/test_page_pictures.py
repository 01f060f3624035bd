"""Pictures of the page at /, those that the documents show; `make screenshots` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.browser import pixels
from tests.support.page import colour, has, looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.sights import Site

LARGEST: Final = 170_000
"""Bytes of a picture that a document may show."""

DESKTOP: Final = {"viewport": {"width": 1100, "height": 750}}
PHONE: Final = {"viewport": {"width": 390, "height": 800}, "device_scale_factor": 1.5}
SHOTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "page-light": ("?range=365d", DESKTOP),
    "page-dark": ("?range=90d", {**DESKTOP, "color_scheme": "dark"}),
    "page-phone": ("?range=90d", {**PHONE, "has_touch": True, "is_mobile": True}),
    "page-pt-BR": ("?range=180d", {**DESKTOP, "locale": "pt-BR"}),
    "page-table": ("?view=table", {"viewport": {"width": 1180, "height": 520}}),
}


@pytest.mark.parametrize("name", SHOTS)
def test_a_picture_shows_the_page_and_is_small(
    browser: Browser, site: Site, tmp_path: Path, name: str
) -> None:
    query, options = SHOTS[name]
    path = Path(os.environ.get("MMS_SCREENSHOTS", tmp_path)) / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    with looking(browser, f"{site.url}/{query}", **options) as visit:
        visit.page.screenshot(path=path)
        seen = pixels(browser, path.read_bytes())
        shades = ["--surface", "--text"]
        shades += [] if "table" in name else ["--up", "--down", "--line-50"]
        for shade in shades:
            assert has(seen, colour(visit.page, shade)).any(), shade
    assert path.stat().st_size < LARGEST
