"""Moments as people write them in a query and as replies name them, and periods made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from app.core.errors import InvalidParameter
from app.core.market import DAY, WARM_UP, Interval
from app.utils.gaps import Span

LATEST: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last moment that a date can name."""

ALLOWED: Final = (
    "Write unix seconds (1711670400), a date (2024-03-29) "
    "or a date-time with its zone (2024-03-29T00:00:00Z)."
)

_EPOCH: Final = date(1970, 1, 1).toordinal()
_LONGEST: Final = 40
_SECONDS: Final = re.compile(r"[0-9]+", re.ASCII)
_COMPACT: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})", re.ASCII)
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_DATE_TIME: Final = re.compile(
    _DATE.pattern + r"T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    # A plus sign that was not percent-encoded reaches us as a space; it can mean nothing else here.
    + r"(Z|([+ -])([0-9]{2}):([0-5][0-9]))?",
    re.ASCII,
)
_FINER: Final = {13: "milliseconds", 16: "microseconds", 19: "nanoseconds"}


@dataclass(frozen=True, slots=True)
class Moment:
    """The stretch of time that a text names: the whole unix seconds [first, last], UTC.

    A date names all of its day. An instant between two seconds names no whole second: `first` is the
    one after it and `last` the one before, so that a period from or to it holds exactly what lies in
    it.
    """

    first: int
    last: int


def moment(text: str, name: str) -> Moment:
    """Read unix seconds, an ISO 8601 date or an ISO 8601 date-time with an explicit zone.

    `name` is the parameter that the text came in. Raises InvalidParameter, which names it.
    """
    if len(text) > _LONGEST:
        raise _unreadable(text, name, "is too long for a moment")
    if _SECONDS.fullmatch(text):
        return _bounded(_unix(text, name), text, name)
    day = _DATE.fullmatch(text)
    if day:
        start = _midnight(day, text, name)
        return _bounded(Moment(start, start + DAY - 1), text, name)
    instant = _DATE_TIME.fullmatch(text)
    if instant:
        return _bounded(_instant(instant, text, name), text, name)
    raise _unreadable(text, name, "is not a moment")


def iso(at: int) -> str:
    """The unix time `at` as `2024-03-29T00:00:00Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def served_period(interval: Interval, history_days: int, now: float) -> Span:
    """The closed buckets that are served: those of the last `history_days` days before `now`."""
    last = interval.last_closed(now)
    return Span(last + interval.seconds - history_days * DAY, last)


def warmed_up(served: Span, interval: Interval) -> Span:
    """The served buckets and the `WARM_UP` before them, without which the first averages do not exist."""
    return Span(served.first - WARM_UP * interval.seconds, served.last)


def _unix(text: str, name: str) -> Moment:
    at = int(text)
    if at > LATEST and len(text) in _FINER:
        unit = _FINER[len(text)]
        raise _unreadable(text, name, f"looks like {unit}; times are in seconds")
    if _is_compact_date(text):
        day = f"{text[:4]}-{text[4:6]}-{text[6:]}"
        raise _unreadable(text, name, f"looks like a date without its hyphens ({day})")
    return Moment(at, at)


def _is_compact_date(text: str) -> bool:
    """Whether a date without hyphens stands there; as seconds that would be before any candle."""
    digits = _COMPACT.fullmatch(text)
    if digits is None:
        return False
    try:
        return date(*map(int, digits.groups())).toordinal() >= _EPOCH
    except ValueError:
        return False


def _instant(found: re.Match[str], text: str, name: str) -> Moment:
    hour, minute, second, fraction, zone, sign, zone_hours, zone_minutes = found.groups()[3:]
    if zone is None:
        raise _unreadable(text, name, "has no zone: add Z for UTC, or an offset such as -03:00")
    at = _midnight(found, text, name)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 59:
        raise _unreadable(text, name, "is no time of day")
    at += int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    if sign is not None:
        if int(zone_hours) > 23:
            raise _unreadable(text, name, "has an offset of more than a day")
        offset = int(zone_hours) * 3600 + int(zone_minutes) * 60
        at += offset if sign == "-" else -offset
    between = int(fraction or 0) > 0
    return Moment(at + between, at)


def _midnight(found: re.Match[str], text: str, name: str) -> int:
    try:
        day = date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        raise _unreadable(text, name, "is not in the calendar") from None
    return (day.toordinal() - _EPOCH) * DAY


def _bounded(found: Moment, text: str, name: str) -> Moment:
    if found.last < 0:
        raise _unreadable(text, name, "lies before 1970-01-01")
    if found.first > LATEST:
        raise _unreadable(text, name, "lies after the year 9999")
    return found


def _unreadable(text: str, name: str, problem: str) -> InvalidParameter:
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return InvalidParameter(f"{name}={shown!r} {problem}. {ALLOWED}")
