"""The benchmark of the page: it counts bytes, and both pages come to a first drawing."""

from __future__ import annotations

from pathlib import Path

from benchmarks.edge.bench import at_most, told
from benchmarks.page.__main__ import bare_page, first_drawing, page_of, visited
from tests.conftest import absent
from tests.support.browser import program, running
from tests.support.ports import free_port
from tests.support.sights import LIBRARY, serving, sights


def test_bytes_are_counted_by_kind_and_both_pages_draw(tmp_path: Path) -> None:
    path = program()
    if path is None:
        absent("chromium", "the program chromium is not installed")
    if not LIBRARY.is_file():
        absent("chart", "the chart's library is not there (make chart)")
    port, folder = free_port(), tmp_path / "bare"
    folder.mkdir()
    with (
        sights(tmp_path) as seen,
        serving(seen, CORS_ORIGINS=f"http://127.0.0.1:{port}") as site,
        bare_page(folder, port) as bare,
        running(path) as browser,
    ):
        context = browser.new_context()
        first, second = (visited(context.new_page(), f"{site.url}/") for _ in range(2))
        context.close()
        assert min(first[kind] for kind in ("Document", "Script", "Fetch", "Stylesheet")) > 0
        assert sum(second.values()) < sum(first.values()) / 4
        rows = f"{site.url}/BRLBTC/candles?windows=20,50,200".replace("&", "%26")
        assert first_drawing(browser, f"{site.url}/") > 0
        assert first_drawing(browser, f"{bare}?rows={rows}") > 0


def test_a_limit_that_does_not_hold_is_named() -> None:
    text = page_of([at_most("time", 1.6, 1.5, "×"), told("medians", "8 ms, bare 5 ms")])
    assert "| time | ≤ 1.5 × | 1.6 × | NO |" in text
    assert "| medians |  | 8 ms, bare 5 ms |  |" in text
