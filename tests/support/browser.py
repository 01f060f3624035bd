"""A real Chromium for the tests, and pages that note what went wrong on them.

Playwright drives it. Its event loop stays in the thread of the tests from start to end, and no
other loop can run there meanwhile. So a browser lives as long as one module, none of whose tests
starts a loop.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    Response,
    Route,
    sync_playwright,
)

from tests.support.processes import DEADLINE

Pixels = NDArray[np.int16]

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS: Final = ("--disable-sync", "--no-proxy-server")
_DECODE: Final = """
async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes]));
    const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, picture.width, picture.height);
    const parts = [];
    for (let i = 0; i < data.length; i += 30000) {
        parts.push(btoa(String.fromCharCode(...data.subarray(i, i + 30000))));
    }
    return [picture.width, picture.height, parts.join("")];
}
"""
_LISTENER: Final = """
document.addEventListener("securitypolicyviolation", event => console.error(
    `violation of ${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`
));
"""


@dataclass
class Visit:
    """A page of the browser, and its problems so far.

    They are errors in the console, uncaught errors, violations of the Content-Security-Policy,
    requests to another origin (none is sent), and requests without a good reply.
    """

    page: Page
    origin: str
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note problems from now on."""
        page = self.page
        page.add_init_script(_LISTENER)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self._note("uncaught", str(error)))
        page.on("requestfailed", self._miss)
        page.on("response", self._judge)
        page.route("**/*", self._pass)

    def _listen(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self._note("error", said.text)

    def _pass(self, route: Route, request: Request) -> None:
        if f"{request.url}/".startswith(f"{self.origin}/"):
            route.continue_()
        else:
            self._note("another origin", request.url)
            route.abort()

    def _miss(self, request: Request) -> None:
        # A page may give up what it asked for, and does as it is left.
        if request.failure != "net::ERR_ABORTED":
            self._note("no reply", request.url)

    def _judge(self, response: Response) -> None:
        if response.status >= 400:
            self._note(str(response.status), response.url)

    def _note(self, kind: str, text: str) -> None:
        self.problems.append(f"{kind}: {text}")


def program() -> Path | None:
    """The program, None where it is not installed."""
    paths = (shutil.which(name) for name in _NAMES)
    return next((Path(path) for path in paths if path is not None), None)


@contextmanager
def running(program: Path) -> Iterator[Browser]:
    """A started browser, which knows no proxy and none of this machine's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=_ARGUMENTS, env={**kept}, timeout=DEADLINE * 1000
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(browser: Browser, url: str, *, clock: bool = False, **options: Any) -> Iterator[Visit]:
    """A page with `url` in it, as someone sees it who was never there before.

    What a test waits for on it may take as long as any process. `options` are those of a context
    of Playwright: viewport, locale, colour scheme. With `clock`, tests may put its clock forward.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(DEADLINE * 1000)
    try:
        page = context.new_page()
        if clock:
            page.clock.install()
        visit = Visit(page, "/".join(url.split("/")[:3]))
        visit.watch()
        page.goto(url)
        yield visit
    finally:
        context.close()


def pixels(browser: Browser, picture: bytes) -> Pixels:
    """The colours of a picture (PNG): rows, columns, and red, green, blue from 0 to 255."""
    page = browser.new_page()
    try:
        width, height, data = page.evaluate(_DECODE, base64.b64encode(picture).decode())
    finally:
        page.close()
    flat = np.frombuffer(base64.b64decode(data), np.uint8)
    return flat.reshape(height, width, 4)[:, :, :3].astype(np.int16)
