"""The page at / for people without a mouse, without eyes, and with a taste of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from app.core.market import DAY
from tests.support.page import (
    area,
    chart,
    colour,
    english,
    findings,
    has,
    legend,
    legend_of,
    looking,
    portuguese,
    settle,
    until_seen,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.sights import Site

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
FOCUSED = """
() => {
    const at = document.activeElement;
    const style = getComputedStyle(at);
    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    const within = at.closest("[id]").id;
    return [within, at.name || at.value || at.lang || at.textContent.trim() || at.id, seen];
}
"""
PRESS = """
([key, times]) => {
    const event = () => new KeyboardEvent("keydown", { key, bubbles: true });
    for (let i = 0; i < times; i += 1) document.activeElement.dispatchEvent(event());
}
"""
"""Press a key several times, quicker than the screen is drawn."""
LABELS = {
    "en": ("Open", "High", "Low", "Close", "Volume", "Average 20", "Average 50", "Average 200"),
    "pt-BR": (
        "Abertura", "Máxima", "Mínima", "Fechamento", "Volume", "Média 20", "Média 50", "Média 200"
    ),
}  # fmt: skip
MONTHS = {
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec"],
    "pt-BR": [
        "jan.",
        "fev.",
        "mar.",
        "abr.",
        "mai.",
        "jun.",
        "jul.",
        "ago.",
        "set.",
        "out.",
        "nov.",
        "dez.",
    ],
}


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {}),
        ("?range=365d", {"color_scheme": "dark"}),
        ("", PHONE),
        ("?view=table&lang=pt-BR", {}),
    ],
    ids=["light", "dark", "phone", "table"],
)
def test_axe_has_no_serious_finding(
    browser: Browser, site: Site, axe: str, query: str, options: dict[str, Any]
) -> None:
    with looking(browser, f"{site.url}/{query}", **options) as visit:
        assert findings(visit.page, axe) == []
        assert visit.problems == []


def test_the_keyboard_alone_reaches_everything_in_order_and_sees_where_it_is(
    browser: Browser, site: Site
) -> None:
    with looking(browser, f"{site.url}/") as visit:
        page = visit.page
        stops: list[tuple[str, str]] = []
        while True:
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement === document.body"):
                break
            within, name, outlined = page.evaluate(FOCUSED)
            assert outlined, (within, name)
            stops.append((within, name))
            assert len(stops) < 50
        assert stops == [
            ("choices", "pair"),
            ("choices", "interval"),
            *(("range", length) for length in ("30d", "90d", "180d", "365d")),
            ("switches", "en"),
            ("switches", "pt-BR"),
            ("switches", "theme"),
            ("chart", stops[9][1]),
            ("view", "Table"),
            ("csv", "CSV"),
            ("png", "PNG"),
            ("freshness", "BRLBTC 1d"),
            ("freshness", "3 missing"),
            ("freshness", "BRLBTC 1h"),
            ("freshness", "48 missing"),
            ("freshness", "BRLETH 1d"),
            ("freshness", "BRLETH 1h"),
            *(("foot", name) for within, name in stops if within == "foot"),
        ]
        # What is reached is used without a mouse, too.
        page.locator("#range [value='30d']").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#range [aria-pressed=true]")).to_have_attribute("value", "30d")
        expect(page.locator("#range [value='30d']")).to_be_focused()


@pytest.mark.parametrize("lang", ["en", "pt-BR"])
def test_what_the_cursor_reaches_is_read_aloud(browser: Browser, site: Site, lang: str) -> None:
    """The newest closed candle whole; a hole with its cause; the running one as unfinished."""
    written = {"en": english, "pt-BR": portuguese}[lang]
    stored = site.read("/BRLBTC/candles?windows=20,50,200&limit=366")
    newest = max(stored, key=lambda row: int(row["timestamp"]))
    day = datetime.fromtimestamp(int(newest["timestamp"]), UTC)
    month = MONTHS[lang][day.month - 1]
    date = f"{day.day} {month} {day.year}"
    if lang == "pt-BR":
        date = f"{day.day} de {month} de {day.year}"
    values = legend_of(newest, written).values()
    told = ", ".join(f"{label} {text}" for label, text in zip(LABELS[lang], values, strict=True))
    with looking(browser, f"{site.url}/?range=365d&lang={lang}") as visit:
        page = visit.page
        live = page.locator("[aria-live=polite]")
        page.locator("#chart").focus()
        page.keyboard.press("End")
        running = {"en": "Still running, until ", "pt-BR": "Candle em formação, até "}[lang]
        expect(live).to_contain_text(running)
        page.keyboard.press("ArrowLeft")
        expect(live).to_have_text(f"{date}, {told}.")
        back = (int(newest["timestamp"]) - site.sights.days.lasting) // DAY
        for _ in range(back // 10):
            page.keyboard.press("PageUp")
        for _ in range(back % 10):
            page.keyboard.press("ArrowLeft")
        cause = {
            "en": "No candle: the exchange had none, twice, a day apart.",
            "pt-BR": "Sem candle: a corretora não tinha nenhum, em duas consultas com um dia de intervalo.",
        }[lang]
        expect(live).to_contain_text(cause)
        assert legend(page).at == site.sights.days.lasting
        page.keyboard.press("Escape")
        settle(page)
        assert legend(page).at == int(newest["timestamp"])


def test_zooming_with_the_keyboard_makes_candles_wider(browser: Browser, site: Site) -> None:
    with looking(browser, f"{site.url}/") as visit:
        page = visit.page
        down = colour(page, "--down")
        before = area(has(chart(page), down))
        page.locator("#chart").focus()
        page.keyboard.press("+")
        page.evaluate(PRESS, ["+", 3])
        until_seen(page, lambda seen: area(has(seen, down)) > 1.5 * before)


def test_the_system_s_dark_and_its_reduced_motion_are_followed_at_once(
    browser: Browser, site: Site
) -> None:
    with looking(browser, f"{site.url}/") as visit:
        page = visit.page
        light = colour(page, "--surface")
        drawing = page.locator("#chart")
        assert drawing.evaluate("each => getComputedStyle(each).transitionDuration") != "0s"
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        dark = colour(page, "--surface")
        assert dark != light
        shades = [colour(page, name) for name in ("--up", "--down", "--line-50")]
        seen = until_seen(page, lambda seen: area(has(seen, dark)) > seen.size / 6)
        assert all(has(seen, shade).any() for shade in shades)
        assert not has(seen, light).any()
        assert drawing.evaluate("each => getComputedStyle(each).transitionDuration") == "0s"
        page.get_by_label("Theme").select_option("light")
        until_seen(page, lambda seen: area(has(seen, light)) > seen.size / 6)
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_paper_is_light_and_the_chosen_button_is_seen_in_the_system_s_colours(
    browser: Browser, site: Site
) -> None:
    with looking(browser, f"{site.url}/", color_scheme="dark") as visit:
        page = visit.page
        page.evaluate("""() => addEventListener("beforeprint", () => {
                window.printed = document.documentElement.dataset.theme;
            })""")
        page.pdf()
        assert page.evaluate("window.printed") == "light"
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.emulate_media(forced_colors="active")
        background = "each => getComputedStyle(each).backgroundColor"
        chosen = page.locator("#range [aria-pressed=true]").evaluate(background)
        other = page.locator("#range [aria-pressed=false]").first.evaluate(background)
        assert chosen != other
