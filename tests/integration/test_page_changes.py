"""The page at / while things change: new data, an API that goes away, a key, nothing stored."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from app.core.api_keys import READ, ApiKey, digest_of, new_key
from tests.support.browser import visiting
from tests.support.page import (
    area,
    chart,
    colour,
    complete,
    english,
    findings,
    has,
    legend,
    looking,
    until_seen,
)
from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.served import api
from tests.support.sights import serving, sights

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.sights import Site

SEEN = """(seen) => {
    Object.defineProperty(document, "hidden", { value: !seen, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
"""What a browser does as its tab is seen or not: one without a screen shows all tabs at once."""

POLL = 15_000
"""Milliseconds between two requests of a page that has no stream."""


@pytest.fixture(scope="module")
def site(chart_library: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that tests may change."""
    with sights(tmp_path_factory.mktemp("changing")) as seen, serving(seen) as served:
        yield served


def mark(page: Page) -> None:
    """Leave something in the page that a reload would lose."""
    page.evaluate("() => { window.marked = true; }")


def is_marked(page: Page) -> bool:
    """Whether it is still the same page."""
    return bool(page.evaluate("() => window.marked === true"))


def test_what_another_process_commits_appears_without_a_reload(
    browser: Browser, site: Site
) -> None:
    with looking(browser, f"{site.url}/?range=30d") as visit:
        page = visit.page
        expect(page.locator("#live")).to_have_text("live")
        mark(page)
        before = legend(page)
        bucket = site.sights.revise()
        close = english(site.read("/BRLBTC/latest")["close"])
        assert close != before.values["close"]
        expect(page.locator("#legend .close dd")).to_have_text(close)
        expect(page.locator("#sentence")).to_contain_text(f"closed at {close} ")
        revision = site.read("/BRLBTC/revisions?limit=1")[0]
        told = f"from {english(revision['old_close'])} to {close}"
        expect(page.locator("#events .revision").filter(has_text=told)).to_have_count(1)
        assert legend(page).at == bucket
        missing = page.get_by_role("link", name="48 missing")
        missing.focus()
        site.sights.collect("ETH", "4321.98765432")
        expect(page.locator("#prices").get_by_title("4,321.98765432", exact=True)).to_be_visible()
        expect(missing).to_be_focused()
        assert is_marked(page)
        assert visit.problems == []


def test_a_page_that_nobody_sees_holds_no_stream_and_catches_up_as_it_is_seen(
    browser: Browser, site: Site
) -> None:
    with looking(browser, f"{site.url}/") as visit:
        page = visit.page
        expect(page.locator("#live")).to_have_text("live")
        with page.expect_event("requestfailed", lambda each: each.url.endswith("/stream")):
            page.evaluate(SEEN, False)
        site.sights.collect("DOT", "5.12345678")
        price = page.locator("#prices").get_by_title("5.12345678", exact=True)
        with page.expect_request(f"{site.url}/stream"):
            page.evaluate(SEEN, True)
        expect(price).to_be_visible()
        expect(page.locator("#live")).to_have_text("live")
        assert visit.problems == []


def test_the_api_goes_away_and_comes_back(browser: Browser, site: Site, axe: str) -> None:
    """What was loaded stays, its age is told, and the page recovers by itself."""
    port = ("--port", str(free_port()))
    with (
        serving(site.sights, *port, name="first") as first,
        looking(browser, f"{first.url}/", clock=True) as visit,
    ):
        page = visit.page
        expect(page.locator("#live")).to_have_text("live")
        mark(page)
        shown = legend(page), page.locator("#sentence").inner_text()
        assert first.served.stop() == 0
        expect(page.locator("#live")).not_to_have_text("live")
        notice = page.locator("#notice")

        def offline() -> bool:
            page.clock.fast_forward(POLL)
            return "The service has not answered since" in notice.inner_text()

        until(offline)
        assert (legend(page), page.locator("#sentence").inner_text()) == shown
        assert area(has(chart(page), colour(page, "--up"))) > 50
        assert findings(page, axe) == []
        assert all("net::ERR_" in each or "no reply" in each for each in visit.problems)
        with serving(site.sights, *port, name="second"):
            expect(notice).to_be_hidden()
            expect(page.locator("#live")).to_have_text("live")
            site.sights.collect("SOL", "151.25")
            expect(page.locator("#prices").get_by_title("151.25", exact=True)).to_be_visible()
            assert is_marked(page)


def test_with_a_key_the_page_works_by_polling(browser: Browser, site: Site, axe: str) -> None:
    key = new_key()
    last_day = (datetime.now(UTC) + timedelta(days=400)).date()
    entry = str(ApiKey("page", frozenset({READ}), last_day, digest_of(key.encode())))
    with (
        serving(site.sights, name="keyed", READ_ACCESS="key", API_KEYS=entry) as keyed,
        visiting(browser, f"{keyed.url}/", clock=True) as visit,
    ):
        page = visit.page
        notice = page.locator("#notice")
        expect(notice).to_contain_text("This service answers only with an API key.")
        assert findings(page, axe) == []
        field = page.get_by_label("API key")
        field.fill(new_key())
        field.press("Enter")
        expect(field).to_have_value("")  # it is asked for again
        field.fill(key)
        page.get_by_role("button", name="Use it").click()
        expect(notice).to_be_hidden()
        complete(page)
        close = english(site.read("/BRLBTC/latest")["close"])
        expect(page.locator("#legend .close dd")).to_have_text(close)
        assert page.locator("#live").inner_text() == "asks every 15 s"
        until_seen(page, lambda seen: bool(has(seen, colour(page, "--up")).any()))
        site.sights.collect("ADA", "0.87654321")
        price = page.locator("#prices").get_by_title("0.87654321", exact=True)

        def polled() -> bool:
            page.clock.fast_forward(POLL)
            return price.is_visible()

        until(polled)
        link = page.get_by_role("link", name="CSV")
        address = link.get_attribute("href") or ""
        with page.expect_download() as saving:
            link.click()
        assert Path(saving.value.path()).read_bytes() == site.text(address).encode()
        page.get_by_role("button", name="Forget the API key").click()
        expect(field).to_be_visible()
        page.reload()
        expect(field).to_be_visible()
        assert all("401" in each for each in visit.problems)


def test_an_address_with_values_that_are_not_served_shows_others_and_says_so(
    browser: Browser, site: Site
) -> None:
    with looking(browser, f"{site.url}/?pair=BRLDOGE&interval=2w&range=7y") as visit:
        notice = visit.page.locator("#notice")
        for word in ("pair BRLDOGE", "interval 2w", "range 7y"):
            expect(notice).to_contain_text(word)
        close = english(site.read("/BRLBTC/latest")["close"])
        expect(visit.page.locator("#sentence")).to_contain_text(f"BTC-BRL closed at {close}")
        assert visit.page.url == f"{site.url}/?pair=BRLBTC&interval=1d&range=180d"


def test_an_empty_database_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    with (
        api(tmp_path, "api") as served,
        looking(browser, f"http://127.0.0.1:{served.port}/") as visit,
    ):
        page = visit.page
        expect(page.locator("#notice")).to_contain_text("run python -m app load")
        expect(page.locator("#prices li").first).to_contain_text("No price was collected yet.")
        assert visit.problems == []


def test_without_the_library_the_service_s_picture_stands_there_with_its_words(
    browser: Browser, site: Site, axe: str, tmp_path: Path
) -> None:
    folder = tmp_path / "code"
    shutil.copytree(
        ROOT / "app", folder / "app", ignore=shutil.ignore_patterns("library", "__pycache__")
    )
    with (
        serving(site.sights, name="plain", PYTHONPATH=str(folder)) as plain,
        looking(browser, f"{plain.url}/?range=90d", color_scheme="dark") as visit,
    ):
        page = visit.page
        picture = page.locator("#chart img")
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("each => each.naturalWidth") > 100
        close = english(site.read("/BRLBTC/latest")["close"])
        assert f"closed at {close}" in (picture.get_attribute("alt") or "")
        expect(page.locator("#chart")).to_contain_text("make chart")
        assert legend(page).values["close"] == close
        assert findings(page, axe) == []
        page.get_by_role("button", name="30 d").click()
        expect(picture).to_have_attribute("src", re.compile("range=30d&theme=dark"))
        assert visit.problems == []
