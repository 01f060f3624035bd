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
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from app.core.errors import ConfigurationError
from app.core.market import Interval
from app.sandbox.book import Bar
from app.sandbox.wire import FIELDS

_MILLISECONDS: Final = 100_000_000_000
"""As unix seconds this is the year 5138, as milliseconds 1973."""


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
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error})") from error


def parse_recording(text: str, name: str) -> Recording:
    """Read one recording's text; `name` is used in messages. Raises ConfigurationError."""
    try:
        server_time = None
        if text.lstrip()[:1] in ("{", "["):
            server_time, rows = _json_rows(text)
        else:
            rows = _csv_rows(text)
        bars = sorted((_bar(where, row) for where, row in rows), key=lambda bar: bar.stamp)
        return Recording(name, _interval(bars), tuple(bars), server_time)
    except (ValueError, csv.Error, RecursionError) as error:
        raise ConfigurationError(f"{name}: {error}") from error


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


Rows = Iterable[tuple[str, Mapping[str, Any]]]
"""Where each candle stands, and its values by their full names. Numbers are text, because a binary float
would not keep the recorded decimals."""


def _json_rows(text: str) -> tuple[int | None, Rows]:
    """The server's time where told, and the rows."""
    reply = json.loads(text, parse_float=str, parse_int=str)
    if isinstance(reply, dict) and isinstance(reply.get("candles"), list):
        if "server_unix_timestamp" not in reply:
            raise ValueError("'server_unix_timestamp' is missing: which candle was still running?")
        rows = [(f"row {n}", candle) for n, candle in enumerate(reply["candles"], 1)]
        return _seconds("server_unix_timestamp", reply["server_unix_timestamp"]), rows
    if isinstance(reply, dict) and all(isinstance(reply.get(name[0]), list) for name in FIELDS):
        columns = [reply[name[0]] for name in FIELDS]
        values = zip(*columns, strict=True)
        named = [dict(zip(FIELDS, row, strict=True)) for row in values]
        return None, [(f"row {n}", row) for n, row in enumerate(named, 1)]
    raise ValueError("no recorded reply: give 'candles' (legacy) or columns t, o, h, l, c, v (v4)")


def _csv_rows(text: str) -> Rows:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    header = {name.strip().lower(): name for name in reader.fieldnames or () if name}
    own = next(
        (
            names
            for names in ({n: n for n in FIELDS}, {n: n[0] for n in FIELDS})
            if header.keys() >= set(names.values())
        ),
        None,
    )
    if own is None:
        raise ValueError(f"row 1: the header must have {','.join(FIELDS)} or t,o,h,l,c,v")
    for row in reader:
        if any(row.values()):
            yield f"row {reader.line_num}", {name: row[header[n]] for name, n in own.items()}


def _bar(where: str, row: Mapping[str, Any]) -> Bar:
    numbers = []
    for name in list(FIELDS)[1:]:
        try:
            numbers.append(Decimal(row[name]))
            if not numbers[-1].is_finite() or "_" in row[name]:
                raise ValueError
        except (InvalidOperation, TypeError, ValueError, KeyError, AttributeError):
            raise ValueError(
                f"{where}: {name} {_shown(row, name)} is not a decimal number"
            ) from None
    return Bar(_seconds(f"{where}: timestamp", row.get("timestamp")), *numbers)


def _shown(row: Any, name: str) -> str:
    return repr(row.get(name) if isinstance(row, Mapping) else row)[:60]


def _seconds(what: str, value: Any) -> int:
    try:
        seconds = Decimal(value)  # a table that went through a float column has 1641081600.0
        if seconds != seconds.to_integral_value() or seconds < 0:
            raise ValueError
    except (InvalidOperation, TypeError, ValueError):
        raise ValueError(f"{what} {value!r:.60} is not a time in whole unix seconds") from None
    if seconds >= _MILLISECONDS:
        raise ValueError(f"{what} {seconds} looks like milliseconds; write unix seconds")
    return int(seconds)


def _interval(bars: Sequence[Bar]) -> Interval:
    """The smallest distance between two different stamps, which must be a known interval."""
    steps = [later.stamp - bar.stamp for bar, later in pairwise(bars) if later.stamp != bar.stamp]
    if not steps:
        raise ValueError(f"has {len(bars)} candles; two of different times show their interval")
    for interval in Interval:
        if interval.seconds == min(steps):
            return interval
    allowed = ", ".join(f"{item.seconds} ({item})" for item in Interval)
    raise ValueError(f"the smallest distance between candles is {min(steps)} s, none of {allowed}")
