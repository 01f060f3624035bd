"""python -m benchmarks.page: what the page costs a browser, beside a bare page with the same chart.

A real Chromium visits both in turn, each time with an empty cache. The first drawing is the frame
after the first falling candle was drawn, told by its colour; the time runs from the beginning of
the navigation. Both ask the same service for the same rows. Needs Chromium, and the chart's
library (`make chart`).

Exit 0: both limits hold. 1: one does not. 2: something is missing.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import http.server
import statistics
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page

from app.api.routes.page import LIBRARY, has_chart
from app.core import logging
from benchmarks.edge.bench import Figure, at_most, told
from benchmarks.reads import data
from benchmarks.reads.machine import machine, packages
from benchmarks.reads.servers import PATIENCE, service
from tests.support.browser import program, running
from tests.support.ports import free_port
from tests.support.processes import ROOT

VISITS: Final = 15
MOST_KILOBYTES: Final = 150.0
MOST_TIMES: Final = 1.5

RESULTS: Final = ROOT / "benchmarks" / "page" / "results.md"

_WIDE: Final = {"viewport": {"width": 1280, "height": 900}}
_WATCH: Final = """
const falling = "#c0362c";
const { fillRect } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.fillRect = function (...place) {
    fillRect.apply(this, place);
    if (this.fillStyle !== falling) return;
    CanvasRenderingContext2D.prototype.fillRect = fillRect;
    requestAnimationFrame(() => { document.documentElement.dataset.drawn = performance.now(); });
};
"""


class _Bare(http.server.SimpleHTTPRequestHandler):
    """Sends the files of a folder, which are compressed, over connections that stay open."""

    protocol_version = "HTTP/1.1"

    def end_headers(self) -> None:
        """All files are compressed."""
        self.send_header("Content-Encoding", "gzip")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def bare_page(folder: Path, port: int) -> Iterator[str]:
    """A server of the bare page and the library; gives the page's address."""
    for source, name in (
        (Path(__file__).parent / "bare.html", "bare.html"),
        (ROOT / "app" / "api" / "page" / LIBRARY, "library.js"),
    ):
        (folder / name).write_bytes(gzip.compress(source.read_bytes()))
    handler = functools.partial(_Bare, directory=str(folder))  # it knows the type of .js
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/bare.html"
        finally:
            server.shutdown()
            thread.join()


def first_drawing(browser: Browser, url: str) -> float:
    """Milliseconds until somebody who was never there sees candles."""
    context = browser.new_context(**_WIDE)  # type: ignore[arg-type]
    try:
        page = context.new_page()
        page.add_init_script(_WATCH)
        page.goto(url, wait_until="commit")
        page.wait_for_selector("html[data-drawn]", timeout=PATIENCE * 1e3)
        return float(page.evaluate("document.documentElement.dataset.drawn"))
    finally:
        context.close()


def visited(page: Page, url: str) -> Counter[str]:
    """The bytes over the wire, heads included, by kind, until all of the page is there."""
    kinds: dict[str, str] = {}
    sizes: Counter[str] = Counter()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on(
        "Network.responseReceived", lambda event: kinds.update({event["requestId"]: event["type"]})
    )
    session.on(
        "Network.loadingFinished",
        lambda event: sizes.update(
            {kinds.get(event["requestId"], "Other"): int(event["encodedDataLength"])}
        ),
    )
    page.goto(url)
    page.wait_for_selector("#live.live", timeout=PATIENCE * 1e3)
    page.wait_for_selector("#foot a", timeout=PATIENCE * 1e3)
    page.wait_for_timeout(1_000)
    session.detach()
    return sizes


def measured(visits: int) -> list[Figure]:
    """Visit the page, and both pages in turn."""
    path = program()
    assert path is not None
    with tempfile.TemporaryDirectory(prefix="mms-page-") as name:
        folder, port = Path(name), free_port()
        loaded = data.load(folder, 0)
        with (
            service(
                "api",
                folder,
                DB_URL=loaded.db_url,
                CORS_ORIGINS=f"http://127.0.0.1:{port}",
            ) as api,
            bare_page(folder, port) as bare,
            running(path) as browser,
        ):
            ours = f"{api.url}/?pair=BRLBTC&interval=1d&range=180d"
            context = browser.new_context(**_WIDE)  # type: ignore[arg-type]
            page = context.new_page()
            with page.expect_request(lambda request: "/candles?" in request.url) as asking:
                first = visited(page, ours)
            second = visited(context.new_page(), ours)
            context.close()
            rows = asking.value.url.replace("format=csv", "format=json")
            theirs = f"{bare}?{urlencode({'rows': rows})}"
            pairs = [
                (first_drawing(browser, ours), first_drawing(browser, theirs))
                for _ in range(visits)
            ]
    ratio = statistics.median(mine / other for mine, other in pairs)
    mine, other = (statistics.median(each) for each in zip(*pairs, strict=True))
    kinds = ", ".join(f"{kind.lower()} {size / 1e3:.1f} kB" for kind, size in first.most_common())
    return [
        at_most(
            "bytes of a first visit, with gzip", sum(first.values()) / 1e3, MOST_KILOBYTES, "kB"
        ),
        told("of which", kinds),
        told("bytes of a second visit", f"{sum(second.values()) / 1e3:.1f} kB"),
        at_most("time to the first drawing, by that of the bare page", ratio, MOST_TIMES, "×"),
        told("medians", f"{mine:.0f} ms, bare {other:.0f} ms"),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write, judge."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="three visits; writes nothing")
    options = parser.parse_args(argv)
    missing = [] if has_chart() else ["the chart's library: make chart"]
    missing += [] if program() else ["Chromium: make programs"]
    if missing:
        sys.stderr.write(f"missing: {', '.join(missing)}\n")
        return 2
    logging.configure("ERROR", "console")
    figures = measured(3 if options.quick else VISITS)
    text = page_of(figures)
    print(text)
    if not options.quick:
        RESULTS.write_text(text, "utf-8")
    return 0 if all(figure.held for figure in figures) else 1


def page_of(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown page."""
    lines = [
        f"| {each.what} | {each.limit} | {each.value} | {'' if not each.limit else 'yes' if each.held else 'NO'} |"
        for each in figures
    ]
    table = "\n".join(["| what | limit | measured | holds |", "|---|---|---|---|", *lines])
    return f"""# What the page costs a browser

`python -m benchmarks.page` writes this page: {VISITS} visits of each kind, in turn.

{machine()}. {packages()}.

{table}
"""


if __name__ == "__main__":
    sys.exit(main())
