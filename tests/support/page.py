"""The page at /, as a person sees it: its legend, its chart's pixels, its places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import Pixels, Visit, pixels, visiting
from tests.support.patience import until
from tests.support.processes import DEADLINE

expect.set_options(timeout=DEADLINE * 1000)

Marks = NDArray[np.bool_]

DESKTOP: Final = {"width": 1600, "height": 1000}
VALUES: Final = ("open", "high", "low", "close", "volume", "mms-20", "mms-50", "mms-200")

_LEGEND: Final = """
() => {
    const legend = document.querySelector("#legend");
    const values = [...legend.querySelectorAll("dl div")].map((each) => [
        each.className, each.querySelector("dd").textContent,
    ]);
    return {
        at: legend.querySelector("strong")?.title ?? "",
        values: Object.fromEntries(values),
        notes: [...legend.querySelectorAll("p")].map((each) => each.textContent),
    };
}
"""
_JUDGE: Final = """
async () => (await axe.run()).violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(" ")}`)
"""
_COLOUR: Final = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
_MATCHES: Final = 6
"""How far a colour may be off: screens of different depth round differently."""


@dataclass(frozen=True)
class Legend:
    """What the legend says: the unix time of its bucket, values by name, sentences."""

    at: int
    values: dict[str, str]
    notes: list[str]


@contextmanager
def looking(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """The page at this address, with all in it that it loads at first."""
    options = {"viewport": DESKTOP, "timezone_id": "America/Sao_Paulo", **options}
    with visiting(browser, url, **options) as visit:
        complete(visit.page)
        yield visit


def complete(page: Page) -> None:
    """Wait until the page shows all that it loads at first, follows what is new, and is at rest."""
    for part in ("#foot a", "#prices li", "#events li"):
        expect(page.locator(part).first).to_be_visible()
    expect(page.locator("#live")).not_to_be_empty()
    expect(page.locator("#sentence")).not_to_be_empty()
    expect(page.locator("#notice")).not_to_have_class("loading")
    expect(page.locator("#series")).not_to_have_class("waiting")
    page.evaluate("() => Promise.all(document.getAnimations().map((each) => each.finished))")


def legend(page: Page) -> Legend:
    """What the legend says now."""
    said = page.evaluate(_LEGEND)
    at = datetime.strptime(said["at"], "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    return Legend(int(at.timestamp()), said["values"], said["notes"])


def legend_of(row: Mapping[str, Any], written: Callable[[str], str]) -> dict[str, str]:
    """The legend's values of a row of /candles?windows=20,50,200, whose values are texts."""
    texts = {name: row[name.replace("-", "_")] for name in VALUES}
    return {name: "none" if text is None else written(text) for name, text in texts.items()}


def english(text: str) -> str:
    """An exact decimal text as it is written in English."""
    whole, point, fraction = text.partition(".")
    return f"{int(whole):,}{point}{fraction}"


def portuguese(text: str) -> str:
    """The same in Portuguese."""
    return english(text).translate(str.maketrans(",.", ".,"))


def colour(page: Page, name: str) -> tuple[int, ...]:
    """A colour of the style sheet by its name there, such as `--up`."""
    text = page.evaluate(_COLOUR, name)
    return tuple(bytes.fromhex(text.removeprefix("#")))


def over(above: tuple[int, ...], below: tuple[int, ...], opacity: float) -> tuple[int, ...]:
    """The colour of one that lets another one through."""
    return tuple(round(opacity * a + (1 - opacity) * b) for a, b in zip(above, below, strict=True))


def area(marks: Marks) -> int:
    """How many pixels are marked."""
    return int(np.count_nonzero(marks))


def chart(page: Page) -> Pixels:
    """The pixels of the chart as they are on the screen, without its scales."""
    browser = page.context.browser
    assert browser is not None
    return pixels(browser, page.locator("#chart td:nth-child(2)").first.screenshot())


def has(picture: Pixels, shade: tuple[int, ...]) -> Marks:
    """Which pixels have this colour: rows and columns."""
    near: Marks = (abs(picture - np.array(shade)) <= _MATCHES).all(axis=2)
    return near


def hover(page: Page, share: float) -> Legend:
    """Point at this part (0 to 1) of the chart's width; returns what the legend then says."""
    box = page.locator("#chart td:nth-child(2)").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
    settle(page)
    return legend(page)


def settle(page: Page) -> None:
    """Let the page draw what it has to draw."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


def until_seen(page: Page, condition: Callable[[Pixels], bool]) -> Pixels:
    """Wait until the chart's pixels fulfil the condition; returns them."""
    seen: list[Pixels] = []

    def fulfilled() -> bool:
        seen.append(chart(page))
        return condition(seen[-1])

    until(fulfilled, DEADLINE)
    return seen[-1]


def findings(page: Page, axe: str) -> list[str]:
    """What axe-core, whose code this is, calls serious or critical on the page as it stands.

    It runs as a debugger's code does, so the page's own policy stays in force.
    """
    page.evaluate(f"{axe};0")
    found: list[str] = page.evaluate(_JUDGE)
    return found
