"""Elements of SVG as text: every text and attribute is escaped."""

from __future__ import annotations

from html import escape


def label(text: str, x: int, y: int, **attributes: object) -> str:
    """A text at this place."""
    return tag("text", text, x=x, y=y, **attributes)


def tag(name: str, text: str = "", **attributes: object) -> str:
    """An element with a text in it, or with nothing."""
    return element(name, escape(text, quote=False), **attributes)


def element(name: str, content: str, **attributes: object) -> str:
    """An element with SVG in it; an underscore in the name of an attribute stands for a hyphen."""
    listed = "".join(
        f' {key.replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    return f"<{name}{listed}>{content}</{name}>" if content else f"<{name}{listed}/>"


def stroke(path: str, colour: str, width: int) -> str:
    """A line along the path."""
    return tag(
        "path", d=path, fill="none", stroke=colour, stroke_width=width, stroke_linejoin="round",
        stroke_linecap="round",
    )  # fmt: skip


def hatched(path: str, colour: str, content: str = "") -> str:
    """The hatched shapes of `path`; `content` is what is inside."""
    return element(
        "path", content, d=path, fill="url(#hole)", stroke=colour, stroke_opacity=".5",
        stroke_width=6,
    )  # fmt: skip
