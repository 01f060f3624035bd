"""A picture of a series in a real browser: on a page of another origin, and on its own."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from checks.fuzz import demo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from playwright.sync_api import Browser


class Silent(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of a page of another origin, which lets no picture in that does not allow it."""

    def page(_environ: object, start: Callable[..., object]) -> Iterable[bytes]:
        # With this policy a browser shows what says that pages of any site may embed it.
        embedder = ("Cross-Origin-Embedder-Policy", "require-corp")
        start("200 OK", [("Content-Type", "text/html"), embedder])
        return [b"<!doctype html><title>README</title><body></body>"]

    with make_server("127.0.0.1", 0, page, handler_class=Silent) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


LOAD = """source => new Promise(resolve => {
    const image = new Image();
    image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
    image.onerror = () => resolve(null);
    image.src = source;
    document.body.append(image);
})"""


def test_a_page_of_another_origin_shows_the_picture_and_it_opens_on_its_own(
    browser: Browser, environment: pytest.MonkeyPatch, tmp_path: Path, elsewhere: str
) -> None:
    from tests.support.browser import visiting

    with demo(tmp_path) as url:
        page = browser.new_page()
        page.goto(elsewhere)
        for query in ("", "?range=60d&theme=dark&lang=pt-BR", "?interval=1h&range=all"):
            size = page.evaluate(LOAD, f"{url}/BRLBTC/chart.svg{query}")
            assert size == [960, 520], query
        page.close()
        with visiting(browser, f"{url}/BRLBTC/chart.svg") as visit:
            assert visit.page.locator("svg > title").text_content() == "BTC-BRL at 1d"
            assert visit.problems == []
