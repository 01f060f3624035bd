"""Raw requests, and what each got: `raw.md`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from benchmarks.edge.bench import Bench, Figure, exactly, port_of
from tests.support.raw import Case, Outcome, exchanges, problems
from tests.support.raw_cases import CASES, SETTINGS

PATIENCE: Final = 5.0
PAGE: Final = "raw.md"

_HEAD: Final = """\
# Raw requests, and what each got

`python -m benchmarks.edge raw` writes this page from the table in `tests/support/raw_cases.py`, which also
says what is sent. `close`: the connection ends after it. `h200`: a reply without its body. `400|405`: either.
"""


def measure(bench: Bench) -> list[Figure]:
    """Send each, and write the page."""
    with bench.serve("raw", **SETTINGS) as server:
        outcomes = exchanges(port_of(server), CASES, PATIENCE)
    (bench.folder / PAGE).write_text(page(outcomes), "utf-8")
    right = sum(not problems(*each) for each in outcomes)
    doubled = sum(len(outcome.replies) > _most(case) for case, outcome in outcomes)
    errors = sum(reply.status >= 500 for _, outcome in outcomes for reply in outcome.replies)
    return [
        exactly(f"{len(CASES)} raw requests: as expected", right, len(CASES)),
        exactly(f"{len(CASES)} raw requests: more replies than requests", doubled, 0),
        exactly(f"{len(CASES)} raw requests: 5xx", errors, 0),
    ]


def page(outcomes: Sequence[tuple[Case, Outcome]]) -> str:
    """The table, with what is wrong."""
    lines = ["| subject | sent | expected | came | wrong |", "| --- | --- | --- | --- | --- |"]
    for case, outcome in outcomes:
        cells = (
            case.subject,
            case.name,
            _short(case.expected),
            _short(str(outcome)),
            "; ".join(problems(case, outcome)),
        )
        lines.append(f"| {' | '.join(map(_plain, cells))} |")
    return "\n".join([_HEAD, *lines, ""])


def _most(case: Case) -> int:
    """The most replies that an expected outcome has."""
    words = (each.split() for each in case.expected.split(" or "))
    return max(sum(word != "close" for word in each) for each in words)


def _short(text: str) -> str:
    """The text with what comes again and again only once."""
    return re.sub(r"\b(\d{3})((?: \1)+)\b", lambda m: f"{m[1]} × {len(m[0].split())}", text)


def _plain(text: str) -> str:
    """The text as it stands in a cell of a table."""
    return re.sub(r"([|<>*_\\`])", r"\\\1", text)
