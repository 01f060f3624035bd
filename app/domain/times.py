"""Moments as queries and replies write them, and the periods between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from app.core.errors import InvalidParameter, ReversedPeriod
from app.core.market import DAY, WARM_UP, Interval
from app.domain.gaps import Span

LATEST: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last moment that a date can name."""

TOLERANCE: Final = 120
"""Seconds by which the clocks of two machines may differ: more is a mistake of one of them."""

ALLOWED: Final = (
    "Write unix seconds (1711670400), a date (2024-03-29) "
    "or a date-time with its zone (2024-03-29T00:00:00Z)."
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_LONGEST: Final = 40
_TODAY: Final = len("1711670400")
_SECONDS: Final = re.compile(r"[0-9]+", re.ASCII)
_YEAR: Final = r"(?:19|20)[0-9]{2}"
_COMPACT: Final = re.compile(rf"({_YEAR})(?:([01][0-9])([0-3][0-9]))?", re.ASCII)
_SINCE_1970: Final = "(?:19[7-9][0-9]|[2-9][0-9]{3})"
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DATE_TIME: Final = re.compile(
    _DATE.pattern + r"[Tt][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    # A plus sign that was not percent-encoded arrives as a space; a space means nothing else here.
    # Without the colon an offset is what strftime's %z writes.
    + r"([Zz]|[+ -][0-9]{2}(:?[0-5][0-9])?)?",
    re.ASCII,
)

SCHEMA: Final = {
    "type": "string",
    "anyOf": [
        {
            "title": "Unix seconds",
            "type": "string",
            "pattern": rf"^(?!{_YEAR}(?:[01][0-9][0-3][0-9])?$)[0-9]{{1,11}}$",
        },
        {
            "title": "Date",
            "type": "string",
            "format": "date",
            "pattern": rf"^{_SINCE_1970}-",
        },
        {
            "title": "Date-time with its zone",
            "type": "string",
            "format": "date-time",
            "pattern": rf"^{_SINCE_1970}-[^.]+(?:\.[0-9]{{1,6}})?(?:[Zz]|[+-][0-9:]+)$",
        },
    ],
}
"""What `moment` reads, as a JSON schema. It reads a few more spellings of the same moments."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The time that a text names: the whole unix seconds [first, last], UTC.

    A date names its whole day. An instant between two seconds names no whole second: `first` is the
    second after it and `last` the second before it. So a period from or to it holds exactly the
    seconds inside.
    """

    first: int
    last: int


@lru_cache(maxsize=4_096)
def moment(text: str, name: str) -> Moment:
    """Read unix seconds, an ISO 8601 date or an ISO 8601 date-time with an explicit zone.

    `name` is the parameter's name. Raises InvalidParameter, which names it.
    """
    if len(text) == _TODAY and text.isdecimal() and text.isascii():
        second = int(text)  # what most programs send, and nothing else has ten digits
        return Moment(second, second)
    if len(text) > _LONGEST:
        raise _unreadable(text, name, "is too long for a moment")
    if _SECONDS.fullmatch(text):
        return _bounded(_unix(text, name), text, name)
    day = _DATE.fullmatch(text) is not None
    if not day and not _DATE_TIME.fullmatch(text):
        raise _unreadable(text, name, "is not a moment")
    try:
        at = datetime.fromisoformat(text.upper().replace(" ", "+"))
    except ValueError:
        raise _unreadable(text, name, "is not in the calendar, or no time of day") from None
    if day:
        at = at.replace(tzinfo=UTC)
    elif at.tzinfo is None:
        problem = "has no zone: add Z for UTC, or an offset such as -03:00"
        raise _unreadable(text, name, problem)
    second, rest = divmod(at - _EPOCH, _SECOND)
    whole_day = Moment(second, second + DAY - 1)
    return _bounded(whole_day if day else Moment(second + bool(rest), second), text, name)


def require_order(since: Moment | None, until: Moment | None) -> None:
    """Raise ReversedPeriod if `since` lies after `until`. None stands for an open end.

    One instant between two seconds as both ends is in order: that period is empty.
    """
    if since and until and min(since.first, since.last) > until.last:
        raise ReversedPeriod(
            f"The period is reversed: from ({iso(since.first)}) lies after to ({iso(until.last)}). "
            "Swap them."
        )


@lru_cache(maxsize=1_024)
def iso(at: int) -> str:
    """Render the unix time `at` as `2024-03-29T00:00:00Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_or_none(at: int | None) -> str | None:
    """Render the unix time `at` as `iso` does; None stays None."""
    return None if at is None else iso(at)


def duration(seconds: int) -> str:
    """Render a duration for people, in its two largest units: `2 d 3 h`, `23 h`, `1 min 30 s`."""
    left = abs(seconds)
    parts: list[tuple[int, str]] = []
    for unit, size in (("d", DAY), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
    shown = " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)
    return f"-{shown}" if seconds < 0 else shown or "0 s"


def stored_time(value: object) -> int | None:
    """A unix time as it was stored; None where no date can name it: something else wrote it."""
    return value if type(value) is int and 0 <= value <= LATEST else None


def served_period(interval: Interval, history_days: int, now: float) -> Span:
    """The served buckets: the closed ones of the last `history_days` days before `now`."""
    last = interval.last_closed(now)
    return Span(last + interval.seconds - history_days * DAY, last)


def warmed_up(served: Span, interval: Interval) -> Span:
    """The served buckets and the `WARM_UP` buckets before them, which the first averages need."""
    return Span(served.first - WARM_UP * interval.seconds, served.last)


def _unix(text: str, name: str) -> Moment:
    at = int(text)
    if at > LATEST and len(text) == len("1711670400000"):
        raise _unreadable(text, name, "looks like milliseconds; times are in seconds")
    # Read as seconds, such digits would lie before any candle.
    if digits := _COMPACT.fullmatch(text):
        year, month, day = digits.groups()
        if month is None:
            raise _unreadable(text, name, f"looks like a year; its first day is {year}-01-01")
        written = f"{year}-{month}-{day}"
        raise _unreadable(text, name, f"looks like a date without its hyphens ({written})")
    return Moment(at, at)


def _bounded(value: Moment, text: str, name: str) -> Moment:
    if value.last < 0:
        raise _unreadable(text, name, "lies before 1970-01-01")
    if value.first > LATEST:
        raise _unreadable(text, name, "lies after the year 9999")
    return value


def _unreadable(text: str, name: str, problem: str) -> InvalidParameter:
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return InvalidParameter(f"{name}={shown!r} {problem}. {ALLOWED}")
