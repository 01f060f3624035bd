"""CloudWatch's metric filters over JSON lines, as far as ours use them.

A pattern is `{ $.field = "text" && $.other != 0 || … }`: comparisons, `&&` before `||`, `*` as a
wildcard in texts. A line that is no JSON object, or lacks a field that is compared, does not match.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any, Final

_TERM: Final = re.compile(
    r'\$\.(?P<field>\w+) (?P<sign>!=|>=|<=|=|>|<) (?:"(?P<text>[^"]*)"|(?P<number>-?[\d.]+))'
)
_SIGNS: Final[dict[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def matches(pattern: str, line: str) -> bool:
    """Whether the pattern matches the line. Raises ValueError on an unsupported pattern."""
    body = re.fullmatch(r"\{ (.*) \}", pattern)
    if body is None:
        raise ValueError(f"{pattern} is no pattern for JSON")
    alternatives = [[_term(text) for text in part.split(" && ")] for part in body[1].split(" || ")]
    found = parsed(line)
    return any(all(_holds(term, found) for term in terms) for terms in alternatives)


def metric(value: str, line: str) -> float | None:
    """The number that a matching line adds: a constant, or that of its field."""
    if not value.startswith("$."):
        return float(value)
    found = parsed(line).get(value.removeprefix("$."))
    return None if isinstance(found, bool) or not isinstance(found, int | float) else float(found)


def parsed(line: str) -> dict[str, Any]:
    """The line's fields; none where it is no JSON object."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _term(text: str) -> re.Match[str]:
    found = _TERM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no comparison that is known here")
    return found


def _holds(term: re.Match[str], found: dict[str, Any]) -> bool:
    if term["field"] not in found:
        return False
    have = found[term["field"]]
    if term["number"] is not None:
        number = not isinstance(have, bool) and isinstance(have, int | float)
        return number and _SIGNS[term["sign"]](have, float(term["number"]))
    if term["sign"] not in ("=", "!="):
        raise ValueError(f"{term[0]} compares a text by size")
    return isinstance(have, str) and fnmatchcase(have, term["text"]) == (term["sign"] == "=")
