"""The page at / in a real browser: what it draws and says is what the API serves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from playwright.sync_api import Page, expect

from app.core.market import DAY
from tests.support.browser import Pixels, pixels
from tests.support.page import (
    Legend,
    Marks,
    area,
    colour,
    english,
    has,
    hover,
    legend,
    legend_of,
    looking,
    over,
    portuguese,
    settle,
    until_seen,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.sights import Site

YEAR = "/BRLBTC/candles?windows=20,50,200&limit=366"
LINES = ("--line-20", "--line-50", "--line-200")
CAUSES = {
    "lasting": "the exchange had none, twice, a day apart",
    "refused": "the exchange sent one that must not be used",
    "late": "the exchange had none when it was asked",
}


def rows(site: Site, path: str = YEAR) -> dict[int, dict[str, Any]]:
    """The API's candles by bucket, each value as the text that stands there."""
    return {int(row["timestamp"]): row for row in site.read(path)}


def query(page: Page) -> dict[str, str]:
    """The parameters in the page's address."""
    return {name: value for name, (value,) in parse_qs(urlsplit(page.url).query).items()}


def runs(marks: Marks) -> list[tuple[int, int]]:
    """The first and last column of each run of columns with a mark in them."""
    places = np.flatnonzero(marks.any(axis=0))
    parts = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts if part.size]


def shaded(picture: Pixels) -> list[tuple[int, int]]:
    """The runs of columns that are shaded as holes; looked for above all candles."""
    strip = picture[2:20]
    return runs(strip[:, :, 0] - strip[:, :, 2] > 40)


def test_candles_averages_and_volume_are_drawn_without_a_complaint(
    browser: Browser, site: Site
) -> None:
    with looking(browser, f"{site.url}/") as visit:
        shades = [colour(visit.page, name) for name in ("--up", "--down", "--volume", *LINES)]
        until_seen(visit.page, lambda seen: all(area(has(seen, each)) > 50 for each in shades))
        assert visit.problems == []


def test_holes_are_shaded_where_they_are_and_say_why(browser: Browser, site: Site) -> None:
    days = site.sights.days
    with looking(browser, f"{site.url}/?range=365d") as visit:
        picture = until_seen(visit.page, lambda seen: len(shaded(seen)) == len(CAUSES))
        for run, (name, cause) in zip(shaded(picture), CAUSES.items(), strict=True):
            said = hover(visit.page, (sum(run) / 2 + 0.5) / picture.shape[1])
            assert said == Legend(getattr(days, name), {}, [f"No candle: {cause}."])


def test_an_average_is_not_drawn_where_a_candle_of_its_window_is_missing(
    browser: Browser, site: Site
) -> None:
    """The longest one is away for 200 days. A line across them would be an invention."""
    with looking(browser, f"{site.url}/?range=365d") as visit:
        violet = colour(visit.page, "--line-200")
        picture = until_seen(visit.page, lambda seen: len(shaded(seen)) == len(CAUSES))
        (first, _), *_ = shaded(picture)
        # Where the average is back, by two places far apart.
        early, late = (hover(visit.page, share).at for share in (0.1, 0.9))
        slot = 0.8 * picture.shape[1] / ((late - early) / DAY)
        whole = site.sights.days.late + 200 * DAY
        back = int(0.1 * picture.shape[1] + (whole - early) / DAY * slot)
        drawn = has(picture, violet)
        assert drawn[:, first - 20 : first - 4].any()
        assert not drawn[:, first : back - 8].any()
        assert drawn[:, back : back + 20].any()


def test_the_running_candle_is_told_from_the_final_ones(browser: Browser, site: Site) -> None:
    """It has a frame of its own, no candle and no value."""
    with looking(browser, f"{site.url}/?range=30d") as visit:
        page = visit.page
        frame = over(colour(page, "--muted"), colour(page, "--surface"), 0.75)

        def sides(picture: Pixels) -> list[tuple[int, int]]:
            return runs(has(picture[2:20], frame))

        picture = until_seen(page, lambda seen: len(sides(seen)) == 2)
        (_, left), (right, _) = sides(picture)
        inside = picture[3:-3, left + 2 : right - 1]
        assert inside.shape[1] > 5
        for name in ("--up", "--down", "--volume", *LINES):
            assert not has(inside, colour(page, name)).any(), name
        said = hover(page, (left + right) / 2 / picture.shape[1])
        assert said.at == max(rows(site)) + DAY
        assert said.values == {}
        assert said.notes[0].startswith("Still running, until ")
        assert said.notes[0].endswith(": it has no final values.")


def test_the_legend_has_the_api_s_values_where_the_pointer_and_the_keys_are(
    browser: Browser, site: Site
) -> None:
    stored = rows(site)
    with looking(browser, f"{site.url}/") as visit:
        page = visit.page
        pointed = [hover(page, share / 11) for share in range(1, 11)]
        page.locator("#chart").focus()
        page.keyboard.press("Home")
        settle(page)
        reached = [legend(page)]
        for _ in range(9):
            for key in ("PageDown", "ArrowRight", "ArrowRight"):
                page.keyboard.press(key)
            settle(page)
            reached.append(legend(page))
        assert visit.problems == []
    for said in (*pointed, *reached):
        assert said.values == legend_of(stored[said.at], english)
    assert [said.at for said in reached] == [reached[0].at + 12 * DAY * n for n in range(10)]
    apart = np.diff([said.at for said in pointed]) / DAY
    assert apart.min() > 1
    assert apart.max() - apart.min() <= 1


def test_a_revision_is_marked_at_its_candle_and_told_with_both_values(
    browser: Browser, site: Site
) -> None:
    (revision,) = site.read("/BRLBTC/revisions")
    old, new = english(revision["old_close"]), english(revision["new_close"])
    with looking(browser, f"{site.url}/?range=30d") as visit:
        page = visit.page
        mark = colour(page, "--revision")
        picture = until_seen(
            page, lambda seen: bool(has(seen[:, seen.shape[1] // 2 :], mark).any())
        )
        candles = has(picture, colour(page, "--up")) | has(picture, colour(page, "--down"))
        shares = [1 - n / 62 for n in range(1, 62)]
        place = next(share for share in shares if hover(page, share).at == site.sights.revised)
        (note,) = hover(page, place).notes
        assert f"its close was {old} and is {new}." in note
        middle = int(place * picture.shape[1])
        around = slice(middle - 12, middle + 12)
        top = int(np.flatnonzero(candles[:, around].any(axis=1))[0])
        assert area(has(picture[:top, around], mark)) > 30
        expect(page.locator("#events .revision")).to_contain_text(f"from {old} to {new}")


def test_what_happened_is_listed(browser: Browser, site: Site) -> None:
    (refused,) = site.read("/BRLBTC/quarantine")
    with looking(browser, f"{site.url}/") as visit:
        events = visit.page.locator("#events li")
        expect(events.and_(visit.page.locator(".refusal"))).to_contain_text(refused["reason"])
        expect(events.and_(visit.page.locator(".load"))).to_contain_text("BTC-BRL 1d was loaded.")
        expect(events.and_(visit.page.locator(".anomaly"))).to_contain_text(
            "BTC changed unusually, to "
        )
        gaps = events.and_(visit.page.locator(".gap")).all_inner_texts()
        assert len(gaps) == len(CAUSES)
        for text, cause in zip(gaps, reversed(CAUSES.values()), strict=True):
            assert "BTC-BRL 1d lacks the candle of " in text
            assert text.endswith(f": {cause}.")


def test_prices_and_freshness_are_those_of_the_api(browser: Browser, site: Site) -> None:
    anomaly = site.read("/anomaly/BTC")
    with looking(browser, f"{site.url}/") as visit:
        items = visit.page.locator("#prices li")
        for symbol in site.read("/supported-symbols")["symbols"]:
            newest = site.read(f"/history/{symbol}?limit=1")[0]["price"]
            item = items.filter(has_text=symbol)
            expect(item.get_by_title(english(newest), exact=True)).to_be_visible()
            line = re.compile(rf"{symbol}: 60 prices since .*, the lowest .*, the highest ")
            expect(item.get_by_role("img")).to_have_accessible_name(line)
        expect(visit.page.locator("#prices .unusual")).to_contain_text(anomaly["message"])
        table = visit.page.locator("#freshness tbody tr")
        served = site.read("/pairs")["pairs"]
        assert len(served) == table.count() == 4
        for row, status in zip(table.all(), served, strict=True):
            expect(row.locator("th")).to_have_text(f"{status['symbol']} {status['interval']}")
            share = f"{english(status['stored'])} / {english(status['expected'])}"
            missing = int(status["missing"])
            expect(row.locator("td").last).to_have_text(
                f"{share} {english(status['missing'])} missing" if missing else share
            )


def test_a_choice_changes_address_and_content_and_back_undoes_it(
    browser: Browser, site: Site
) -> None:
    with looking(browser, f"{site.url}/") as visit:
        page = visit.page
        sentence = page.locator("#sentence")

        def shows(**parameters: str) -> None:
            pair, interval, length = parameters.values()
            close = english(site.read(f"/{pair}/latest?interval={interval}")["close"])
            expect(sentence).to_contain_text(f"closed at {close} ")
            expect(page.get_by_label("Pair")).to_have_value(pair)
            expect(page.locator("#range [aria-pressed=true]")).to_have_attribute("value", length)
            assert {name: query(page)[name] for name in parameters} == parameters

        page.get_by_label("Pair").select_option("BRLETH")
        shows(pair="BRLETH", interval="1d", range="180d")
        page.get_by_label("Interval").select_option("1h")
        shows(pair="BRLETH", interval="1h", range="7d")
        page.get_by_role("button", name="30 d").click()
        shows(pair="BRLETH", interval="1h", range="30d")
        page.go_back()
        shows(pair="BRLETH", interval="1h", range="7d")
        page.go_back()
        shows(pair="BRLETH", interval="1d", range="180d")
        page.go_back()
        shows(pair="BRLBTC", interval="1d", range="180d")
        page.reload()
        shows(pair="BRLBTC", interval="1d", range="180d")
        assert visit.problems == []


def test_the_language_is_the_browser_s_and_its_switch_keeps_the_choice(
    browser: Browser, site: Site
) -> None:
    close = site.read("/BRLETH/latest")["close"]
    with looking(browser, f"{site.url}/?pair=BRLETH&range=90d", locale="pt-BR") as visit:
        page = visit.page
        expect(page.locator("html")).to_have_attribute("lang", "pt-BR")
        expect(page.locator("#sentence")).to_contain_text(f"fechou a {portuguese(close)} ")
        last = rows(site, "/BRLETH/candles?windows=20,50,200&limit=366")
        assert legend(page).values == legend_of(last[max(last)], portuguese)
        page.get_by_role("link", name="English").click()
        expect(page.locator("#sentence")).to_contain_text(f"closed at {english(close)} ")
        assert query(page) == {"pair": "BRLETH", "interval": "1d", "range": "90d", "lang": "en"}
        page.go_back()
        expect(page.locator("#sentence")).to_contain_text("fechou a")
        assert visit.problems == []


def test_the_table_has_every_closed_candle_of_the_api_and_the_holes(
    browser: Browser, site: Site
) -> None:
    stored = rows(site)
    with looking(browser, f"{site.url}/?range=365d") as visit:
        page = visit.page
        page.get_by_role("button", name="Table").click()
        expect(page.locator("#table")).to_be_visible()
        assert query(page)["view"] == "table"
        page.get_by_role("button", name="more candles").click()
        cells = page.locator("#table tbody tr").evaluate_all(
            "rows => rows.map(row => [row.querySelector('th').title,"
            " [...row.querySelectorAll('td')].map(cell => cell.textContent)])"
        )
        assert visit.problems == []
    newest, days = max(stored), site.sights.days
    expected = []
    for bucket in range(newest, newest - 365 * DAY, -DAY):
        row = stored.get(bucket, {})
        hole = [name for name in CAUSES if getattr(days, name) == bucket]
        texts = [f"No candle: {CAUSES[name]}." for name in hole]
        if row:
            columns = (
                *("open", "high", "low", "close"),
                *("mms_20", "mms_50", "mms_200"),
                "volume",
            )
            values = [row[each] for each in columns]
            texts = ["–" if value is None else english(value) for value in values]
        expected.append(texts)
    assert [texts for _, texts in cells] == expected


def test_the_csv_is_the_api_s_byte_by_byte(browser: Browser, site: Site) -> None:
    with looking(browser, f"{site.url}/") as visit:
        link = visit.page.get_by_role("link", name="CSV")
        address = link.get_attribute("href") or ""
        with visit.page.expect_download() as saving:
            link.click()
        saved = saving.value
        assert saved.suggested_filename == "BRLBTC-1d-candles.csv"
        assert Path(saved.path()).read_bytes() == site.text(address).encode()
        assert len(site.text(address).splitlines()) == 181


def test_the_png_is_a_picture_of_the_chart(browser: Browser, site: Site) -> None:
    with looking(browser, f"{site.url}/") as visit:
        page = visit.page
        with page.expect_download() as saving:
            page.get_by_role("button", name="PNG").click()
        assert saving.value.suggested_filename == "BTC-BRL-1d-180d.png"
        picture = pixels(browser, Path(saving.value.path()).read_bytes())
        for name in ("--up", "--down", "--volume", *LINES):
            assert has(picture, colour(page, name)).any(), name
        assert visit.problems == []
