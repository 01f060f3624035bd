"""Candles from files: a recorded reply of either Mercado Bitcoin format, or a table as CSV.

Three shapes are read, each plain or gzipped:
- a legacy reply, `{"server_unix_timestamp": …, "candles": [{"timestamp", "open", …}]}`;
- a v4 reply, one object of columns `t o h l c v`;
- CSV whose header has `timestamp,open,high,low,close,volume` or `t,o,h,l,c,v`, in any order and
  among others.
Numbers keep the decimal text of the file. Whether a candle makes sense is not judged here.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NoReturn

from app.core.errors import ConfigurationError
from app.core.market import Interval
from app.sandbox.book import Bar

_LONG: Final = ("timestamp", "open", "high", "low", "close", "volume")
_SHORT: Final = ("t", "o", "h", "l", "c", "v")
_NUMBER: Final = re.compile(
    r"-?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?", re.ASCII
)
_MILLISECONDS: Final = 100_000_000_000
"""As unix seconds this is the year 5138, as milliseconds 1973."""

Fail = Callable[[str], NoReturn]


@dataclass(frozen=True, slots=True)
class Recording:
    """The candles of one file, ascending by stamp; equal stamps keep the file's order.

    `server_time` is the exchange's own time in unix seconds when the reply was recorded, None where
    the format does not tell.
    """

    name: str
    interval: Interval
    bars: tuple[Bar, ...]
    server_time: int | None

    def last_closed(self) -> int | None:
        """The newest stamp whose bucket had ended at the recording; without its time, the newest."""
        seen = self.server_time
        closed = [
            bar.stamp
            for bar in self.bars
            if seen is None or bar.stamp + self.interval.seconds <= seen
        ]
        return closed[-1] if closed else None


def read_recording(path: Path) -> Recording:
    """Read the file. Raises ConfigurationError: one line with the file, the row and the problem."""
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        return parse_recording(data.decode("utf-8-sig"), str(path))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path}: cannot be read ({reason})") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is neither JSON nor CSV in UTF-8") from error


def parse_recording(text: str, name: str) -> Recording:
    """Read one recording's text; `name` is used in messages. Raises ConfigurationError."""

    def fail(problem: str) -> NoReturn:
        raise ConfigurationError(f"{name}: {problem}")

    server_time: int | None = None
    if text.lstrip()[:1] in ("{", "["):
        server_time, rows = _json_rows(text, fail)
    else:
        rows = _csv_rows(text, fail)
    bars = tuple(sorted((_bar(where, row, fail) for where, row in rows), key=lambda bar: bar.stamp))
    return Recording(name, _interval(bars, fail), bars, server_time)


def shift_to_yesterday(recording: Recording, now: float) -> Recording:
    """Move the stamps by whole buckets: the last closed candle becomes yesterday's last bucket.

    Yesterday is the UTC day before `now`. A candle that was still running when the reply was
    recorded becomes the running one of today. Raises ConfigurationError where none was closed.
    """
    closed = recording.last_closed()
    if closed is None:
        raise ConfigurationError(
            f"{recording.name}: has no closed candle that could be moved to yesterday"
        )
    interval = recording.interval
    move = Interval.DAY.floor(now) - interval.seconds - interval.floor(closed)
    bars = tuple(replace(bar, stamp=bar.stamp + move) for bar in recording.bars)
    return replace(recording, bars=bars, server_time=None)


def _json_rows(text: str, fail: Fail) -> tuple[int | None, Iterator[tuple[str, Sequence[Any]]]]:
    """The server's time where told, and (where, six texts) of each candle."""

    def refuse(constant: str) -> NoReturn:
        fail(f"{constant} is not a number of JSON")

    try:
        # Numbers stay text: a binary float would not keep the recorded decimals.
        reply = json.loads(text, parse_float=str, parse_int=str, parse_constant=refuse)
    except (json.JSONDecodeError, RecursionError) as error:
        fail(f"is not valid JSON ({error})")
    if isinstance(reply, dict) and "candles" in reply:
        candles = reply["candles"]
        if not isinstance(candles, list) or not all(isinstance(row, dict) for row in candles):
            fail("'candles' must be a list of objects")
        if "server_unix_timestamp" not in reply:
            fail("'server_unix_timestamp' is missing: it says which candle was still running")
        return (
            _seconds("server_unix_timestamp", reply["server_unix_timestamp"], fail),
            _legacy_rows(candles, fail),
        )
    if isinstance(reply, dict) and all(isinstance(reply.get(key), list) for key in _SHORT):
        columns = [reply[key] for key in _SHORT]
        if len({len(column) for column in columns}) > 1:
            fail("the columns t, o, h, l, c and v differ in length")
        return None, ((f"row {n}", row) for n, row in enumerate(zip(*columns, strict=True), 1))
    fail("is no recorded reply: it needs 'candles' (legacy) or the columns t, o, h, l, c, v (v4)")


def _legacy_rows(
    candles: Sequence[Mapping[str, Any]], fail: Fail
) -> Iterator[tuple[str, Sequence[Any]]]:
    for number, candle in enumerate(candles, 1):
        for key in _LONG:
            if key not in candle:
                fail(f"row {number}: {key!r} is missing")
        yield f"row {number}", [candle[key] for key in _LONG]


def _csv_rows(text: str, fail: Fail) -> Iterator[tuple[str, Sequence[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        names = next((names for names in (_LONG, _SHORT) if set(names) <= set(header)), None)
        if names is None:
            fail(f"row 1: the header must have {','.join(_LONG)} or {','.join(_SHORT)}")
        places = [header.index(name) for name in names]
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) <= max(places):
                fail(f"row {reader.line_num}: has {len(cells)} of the header's {len(header)} cells")
            yield f"row {reader.line_num}", [cells[place] for place in places]
    except csv.Error as error:
        fail(f"row {reader.line_num}: {error}")


def _bar(where: str, row: Sequence[Any], fail: Fail) -> Bar:
    stamp = _seconds(f"{where}: timestamp", row[0], fail)
    numbers = []
    for name, value in zip(_LONG[1:], row[1:], strict=True):
        text = value.strip() if isinstance(value, str) else ""
        if _NUMBER.fullmatch(text) is None:
            fail(f"{where}: {name} {_shown(value)} is not a decimal number")
        numbers.append(Decimal(text))
    return Bar(stamp, *numbers)


def _seconds(what: str, value: Any, fail: Fail) -> int:
    text = value.strip() if isinstance(value, str) else ""
    # Tables that went through a float column write whole seconds as 1641081600.0.
    whole = re.fullmatch(r"([0-9]{1,18})(?:\.0+)?", text, re.ASCII)
    if whole is None:
        fail(f"{what} {_shown(value)} is not a time in whole unix seconds")
    seconds = int(whole[1])
    if seconds >= _MILLISECONDS:
        fail(f"{what} {seconds} looks like milliseconds; write unix seconds")
    return seconds


def _interval(bars: Sequence[Bar], fail: Fail) -> Interval:
    """The smallest distance between two different stamps, which must be a known interval."""
    steps = [later.stamp - bar.stamp for bar, later in pairwise(bars) if later.stamp != bar.stamp]
    if not steps:
        fail(f"has {len(bars)} candles; at least two of different times show their interval")
    for interval in Interval:
        if interval.seconds == min(steps):
            return interval
    allowed = ", ".join(f"{item.seconds} ({item})" for item in Interval)
    fail(f"the smallest distance between candles is {min(steps)} s; it must be one of {allowed}")


def _shown(value: Any) -> str:
    return repr(value if isinstance(value, str) else json.dumps(value))[:60]
