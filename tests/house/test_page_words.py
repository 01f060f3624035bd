"""The page's texts: both languages have all of them, and no more than is used."""

from __future__ import annotations

import re

import pytest

from app.domain.picture.themes import COLOURS, Theme
from tests.support.processes import ROOT

PAGE = ROOT / "app" / "api" / "page"
ENTRY = re.compile(r'^  "?([\w-]+)"?: ', re.MULTILINE)
VALUES = re.compile(r"\{(\w+)\}")


def texts(language: str) -> dict[str, str]:
    """The dictionary of a language: the source of each entry by its key."""
    source = (PAGE / "words" / f"{language}.js").read_text()
    parts = ENTRY.split(source)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def modules() -> str:
    """The source of all modules but the dictionaries."""
    return "\n".join(path.read_text() for path in sorted(PAGE.glob("*.js")))


def test_both_languages_have_the_same_texts_with_the_same_values() -> None:
    english, portuguese = texts("en"), texts("pt-BR")
    assert list(english) == list(portuguese)
    for key, text in english.items():
        assert {*VALUES.findall(text)} == {*VALUES.findall(portuguese[key])}, key


def test_every_text_that_is_asked_for_is_there_and_no_other() -> None:
    source = modules()
    keys = texts("en").keys()
    named = {*re.findall(r'\bt\(\s*"([\w-]+)"', source), *re.findall(r'"([\w-]+)"', source)}
    # Such as t(`cause_${cause}`): the beginning names a family.
    families = tuple(re.findall(r"`([a-z]+_)\$\{", source))
    assert [key for key in keys if key not in named and not key.startswith(families)] == []
    asked = {*re.findall(r'\bt\(\s*"([\w-]+)"', source)}
    assert asked <= keys


def token(name: str, theme: Theme) -> str:
    """The colour of this name in the style sheet."""
    sheet = (PAGE / "style.css").read_text()
    light, dark = sheet.split(':root[data-theme="dark"] {')
    block = light if theme is Theme.LIGHT else dark.partition("}")[0]
    (value,) = re.findall(rf"--{name}: (#[0-9a-f]{{6}});", block)
    return str(value)


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb` (WCAG 2.2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", Theme)
def test_text_and_controls_can_be_read_on_every_background(theme: Theme) -> None:
    for background in ("surface", "background"):
        behind = token(background, theme)
        for name in ("text", "muted", "accent", "bad"):
            assert contrast(token(name, theme), behind) >= 4.5, (name, background)
        for name in ("border", "up", "down", "hole", "revision", "line-20", "line-50", "line-200"):
            assert contrast(token(name, theme), behind) >= 3, (name, background)


@pytest.mark.parametrize("theme", Theme)
def test_the_page_and_the_picture_have_the_same_colours(theme: Theme) -> None:
    colours = COLOURS[theme]
    assert token("surface", theme) == colours.background
    for name in ("text", "muted", "grid", "up", "down", "hole"):
        assert token(name, theme) == getattr(colours, name), name
    for window, colour in colours.lines.items():
        assert token(f"line-{window}", theme) == colour
