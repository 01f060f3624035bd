"""A picture of a series, read back as XML: where things lie, and what is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from app.core.market import DAY, AverageRow, Candle, Interval, Pair, Series
from app.domain.picture.content import Hole, Picture
from app.domain.picture.drawing import MOST_TITLES, draw
from app.domain.picture.layout import BOTTOM, LEFT, RIGHT, TOP
from app.domain.picture.themes import COLOURS, Colours, Theme
from app.domain.picture.words import WORDS, Language
from app.services.gaps import Cause

SVG = "{http://www.w3.org/2000/svg}"
FIRST = 1_709_251_200
"""2024-03-01."""

WHOLE = 10**8
BTC_DAILY = Series(Pair("BTC", "BRL"), Interval.DAY)


def row(number: int, mean: int | None = 99 * WHOLE) -> tuple[Candle, AverageRow]:
    """The numbered day: even ones rise from 100 to 110, odd ones fall."""
    opened, closed = (100, 110) if number % 2 == 0 else (110, 100)
    candle = Candle(
        FIRST + number * DAY, opened * WHOLE, 120 * WHOLE, 90 * WHOLE, closed * WHOLE, 3 * WHOLE
    )
    return candle, AverageRow(candle.bucket, (mean, mean, mean))


def picture(count: int = 12, without: tuple[int, ...] = (), **others: object) -> Picture:
    """A picture of so many days, less those that are missing."""
    last = FIRST + (count - 1) * DAY
    gone = [FIRST + number * DAY for number in without]
    plain = Picture(
        series=BTC_DAILY,
        first=FIRST,
        last=last,
        rows=[row(number) for number in range(count) if number not in without],
        windows=(20, 50, 200),
        holes=[Hole(bucket, bucket, 1, "refused") for bucket in gone],
        revised=frozenset(),
        expected=count,
        missing=len(gone),
        as_of=last,
        stale=False,
        reason=None,
    )
    return replace(plain, **others)  # type: ignore[arg-type]


def drawn(shown: Picture, theme: Theme = Theme.LIGHT, lang: Language = Language.ENGLISH) -> Element:
    """The document, read as XML."""
    return ElementTree.fromstring(draw(shown, theme, lang))


def texts(root: Element) -> list[str]:
    """All texts that are seen."""
    return ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]


def lines(root: Element, colours: Colours, window: int) -> list[list[int]]:
    """The x of the points of each run of an average's line in the plot."""
    (path,) = (
        each.attrib["d"]
        for each in root.iter(f"{SVG}path")
        if each.get("stroke") == colours.lines[window] and each.get("stroke-width") == "16"
    )
    found = []
    for run in path[1:].split("M"):
        start, steps = run.split("l")
        xs = [number(start)[0]]
        xs += [xs[0] + sum(number(steps)[: 2 * n + 1 : 2]) for n in range(len(number(steps)) // 2)]
        found.append(xs)
    return found


def number(text: str) -> list[int]:
    """The whole numbers in the data of a path."""
    return [int(each) for each in re.findall(r"-?\d+", text)]


def holes(root: Element) -> dict[str, list[int]]:
    """The coordinates of each shaded span, by its title."""
    shaded = {}
    for path in root.iter(f"{SVG}path"):
        title = path.find(f"{SVG}title")
        if title is not None:
            assert path.attrib["fill"] == "url(#hole)"
            shaded[str(title.text)] = number(path.attrib["d"])
    return shaded


def slot(count: int) -> int:
    """The width of a slot where the running bucket has one of the same width."""
    return (RIGHT - LEFT) // (count + 1)


def test_a_hole_is_shaded_at_exactly_its_buckets_and_every_line_breaks_there() -> None:
    root = drawn(picture(9, without=(4,)))
    width = slot(9)
    assert width * 10 == RIGHT - LEFT  # so that each slot has this width
    left = LEFT + 4 * width
    assert holes(root) == {
        "no candle: refused, 5 March 2024": [left, TOP, left + width, BOTTOM, left]
    }
    assert "no candle: refused (1)" in texts(root)
    middles = [LEFT + day * width + width // 2 for day in range(9)]
    for window in (20, 50, 200):
        assert lines(root, COLOURS[Theme.LIGHT], window) == [middles[:4], middles[5:]]


def test_a_line_breaks_where_its_own_average_does_not_exist() -> None:
    rows = [row(day, None if day == 6 else 99 * WHOLE) for day in range(9)]
    runs = lines(drawn(picture(9, rows=rows)), COLOURS[Theme.LIGHT], 20)
    assert [len(run) for run in runs] == [6, 2]


def test_an_average_that_exists_nowhere_is_named_and_not_drawn() -> None:
    rows = [row(day, None) for day in range(9)]
    root = drawn(picture(9, rows=rows, windows=(50,)))
    assert "average of 50 (none here)" in texts(root)
    said = "The candle of 9 March 2024 closed at 110.00 BRL, and has no average of 200."
    assert said in texts(root)


def test_nothing_of_the_running_bucket_is_drawn_but_an_empty_dashed_slot() -> None:
    root = drawn(picture(9))
    (dashed,) = (each for each in root.iter(f"{SVG}path") if each.get("stroke-dasharray"))
    assert dashed.attrib["fill"] == "none"
    assert min(number(dashed.attrib["d"])[::2]) == RIGHT - slot(9)
    assert "(running)" in texts(root)
    for points in lines(root, COLOURS[Theme.LIGHT], 20):
        assert max(points) < RIGHT - slot(9)


def test_rising_candles_are_hollow_and_falling_ones_filled() -> None:
    root = drawn(picture(9))
    light = COLOURS[Theme.LIGHT]
    groups = {g.get("stroke"): g.get("fill") for g in root.iter(f"{SVG}g") if g.get("stroke")}
    assert groups == {light.up: light.background, light.down: light.down}
    bodies = [g[1].attrib["d"].count("z") for g in root.iter(f"{SVG}g") if g.get("stroke")]
    assert bodies == [5, 4]


def test_many_narrow_candles_become_a_band_and_a_line_that_break_at_holes_too() -> None:
    root = drawn(picture(5_000, without=(2_000,)))
    assert "close, in a band from low to high" in texts(root)
    assert not [g for g in root.iter(f"{SVG}g") if g.get("stroke")]
    assert len(lines(root, COLOURS[Theme.LIGHT], 200)) == 2
    # One point a pixel at most: the text does not grow with the number of candles.
    assert max(map(len, lines(root, COLOURS[Theme.LIGHT], 200))) <= 850


def test_a_hole_that_is_narrower_than_a_pixel_can_be_seen() -> None:
    (points,) = holes(drawn(picture(5_000, without=(2_000,)))).values()
    assert points[2] - points[0] == 10


def test_many_holes_are_one_shape_for_each_cause() -> None:
    gone = tuple(range(1, 3 * MOST_TITLES, 2))
    root = drawn(picture(1_000, without=gone))
    assert list(holes(root)) == ["no candle: refused (150)"]


def test_a_revised_candle_has_a_mark_over_it() -> None:
    root = drawn(picture(9, revised=frozenset({FIRST + 3 * DAY, FIRST - DAY})))
    assert "revised (1)" in texts(root)
    marks = [each.attrib["d"] for each in root.findall(f"{SVG}path") if set(each.attrib) == {"d"}]
    assert number(marks[0])[0] == LEFT + 3 * slot(9) + slot(9) // 2


def test_a_stale_picture_says_so_and_a_fresh_one_does_not() -> None:
    for stale in (True, False):
        said = " ".join(texts(drawn(picture(stale=stale))))
        assert ("stale: newer candles are due" in said) is stale
        assert "as of 12 March 2024" in said


def test_the_picture_has_a_role_a_title_and_a_sentence() -> None:
    root = drawn(picture(12, without=(2, 5)))
    assert root.attrib["role"] == "img"
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert root[0].text == "BTC-BRL at 1d"
    assert root[1].text == (
        "BTC-BRL at 1d: the candle of 12 March 2024 closed at 100.00 BRL, 1.01 % above its average "
        "of 200; 2 of 12 buckets have no candle."
    )


def test_in_portuguese_words_numbers_and_dates_are_portuguese() -> None:
    price = 43_960_568_000_000
    candle, averages = row(0)
    rows = [(replace(candle, close=price, high=price), averages)]
    root = drawn(picture(1, rows=rows), lang=Language.PORTUGUESE)
    assert root.attrib["lang"] == "pt-BR"
    assert root[1].text == (
        "BTC-BRL em 1d: o candle de 1 de março de 2024 fechou a 439.605,68 BRL, 443.946,14 % acima da "
        "sua média de 200; nenhum candle falta."
    )
    assert "400.000" in texts(root)


def test_an_empty_picture_says_why_and_has_no_axes() -> None:
    reason = "Nothing is stored for BRLBTC at 1d yet: no load of it has begun."
    root = drawn(picture(rows=[], holes=[], as_of=None, stale=True, reason=reason))
    said = texts(root)
    assert "No candle in this period." in said
    assert reason in said
    assert "UTC" not in said
    assert not list(root.iter(f"{SVG}path"))


def test_names_of_any_kind_are_text_and_nothing_else() -> None:
    series = Series(Pair('<A&"B', "]]>'"), Interval.DAY)
    root = drawn(picture(series=series, rows=[], holes=[], reason="<script>&amp;</script>"))
    assert root[0].text == "<A&\"B-]]>' at 1d"
    assert "<script>&amp;</script>" in texts(root)


def test_the_same_values_give_the_same_small_text_without_script_style_or_address() -> None:
    text = draw(picture(180), Theme.DARK, Language.ENGLISH)
    assert text == draw(picture(180), Theme.DARK, Language.ENGLISH)
    assert len(text) < 20_000
    for word in ("<script", "<style", "style=", "href", "@import", "url(h"):
        assert word not in text
    assert re.findall('https?://[^"]+', text) == ["http://www.w3.org/2000/svg"]


def test_a_volume_that_is_not_there_leaves_its_place_empty() -> None:
    rows = [(replace(candle, volume=None), averages) for candle, averages in picture().rows]
    for shown, bars in ((picture(), 1), (picture(rows=rows), 0)):
        opacities = [each.get("stroke-opacity") for each in drawn(shown).iter(f"{SVG}path")]
        assert opacities.count(".55") == bars


def test_every_language_has_every_text_and_every_cause() -> None:
    english, portuguese = (WORDS[language].texts for language in Language)
    assert english.keys() == portuguese.keys()
    assert {cause.value for cause in Cause} - english.keys() == {"unreachable"}  # never stored
    for key, text in english.items():
        names = [sorted(re.findall("{.*?}", each)) for each in (text, portuguese[key])]
        assert names[0] == names[1], key


def luminance(colour: str) -> float:
    """The relative luminance (WCAG 2.2) of a colour, `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast ratio (WCAG 2.2) of two colours."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def checked(colours: Colours) -> Iterator[tuple[str, float]]:
    """The colours on the background, and the contrast that each needs: of text, or of a line."""
    yield from ((text, 4.5) for text in (colours.text, colours.muted, colours.down))
    yield from ((graphic, 3) for graphic in (colours.up, colours.hole, *colours.lines.values()))


@pytest.mark.parametrize("theme", Theme)
def test_text_and_lines_have_the_contrast_of_level_aa(theme: Theme) -> None:
    colours = COLOURS[theme]
    poor = [each for each, least in checked(colours) if contrast(each, colours.background) < least]
    assert poor == []
