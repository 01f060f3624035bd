"""A command with --json that says something to people, too."""

from __future__ import annotations

from app.commands import output


def work() -> None:
    """Say it."""
    output.json_only()
    output.line("a line for people")
    output.json_line({"ok": [1]})


if __name__ == "__main__":
    output.delivered("summary", work)
