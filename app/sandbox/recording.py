"""Candles from files: a recorded reply of either Mercado Bitcoin format, or CSV.

Three shapes are read, each plain or gzipped:
- a legacy reply, `{"server_unix_timestamp": …, "candles": [{"timestamp", "open", …}]}`;
- a v4 reply, one object of columns `t o h l c v`;
- CSV whose header has `timestamp,open,high,low,close,volume` or `t,o,h,l,c,v`, in any order; other
  columns are ignored.
Numbers keep the decimal text of the file. Candles are not validated here. A volume may be missing,
or anything else: it is sent as it stands in the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from app.core.errors import ConfigurationError
from app.core.market import FIRST_FINER_STAMP, Interval
from app.sandbox.book import Bar, Raw
from app.sandbox.wire import FIELDS

_VOLUME: Final = "volume"
_NEEDED: Final = tuple(name for name in FIELDS if name != _VOLUME)
_MOST_DIGITS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Recording:
    """The candles of one file, ascending by stamp; equal stamps keep the file's order.

    `server_time` is the exchange's own time in unix seconds at the recording, None where the
    format has no such field.
    """

    name: str
    interval: Interval
    bars: tuple[Bar, ...]
    server_time: int | None

    def last_closed(self) -> int | None:
        """The newest stamp that was closed at `server_time`; without that time, the newest."""
        recorded_at = self.server_time
        closed = [
            bar.stamp
            for bar in self.bars
            if recorded_at is None or bar.stamp + self.interval.seconds <= recorded_at
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
        bars = sorted(
            (_bar(f"row {n}", row) for n, row in enumerate(rows, 1)), key=lambda bar: bar.stamp
        )
        return Recording(name, _interval(bars), tuple(bars), server_time)
    except (ValueError, csv.Error, RecursionError) as error:
        raise ConfigurationError(f"{name}: {error}") from error


def shift_to_yesterday(recording: Recording, now: float) -> Recording:
    """Move the stamps by whole buckets: the last closed candle becomes yesterday's last bucket.

    Yesterday is the UTC day before `now`. A candle that was running at the recording becomes
    today's running one. Raises ConfigurationError where none was closed.
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


Rows = Iterable[Mapping[str, Any]]
"""Each candle's values by full name. Numbers are text: a float would not keep the decimals."""


def _json_rows(text: str) -> tuple[int | None, Rows]:
    """The server's time or None, and the rows."""
    reply = json.loads(text, parse_float=str, parse_int=str, parse_constant=Raw)
    if isinstance(reply, dict) and isinstance(reply.get("candles"), list):
        if "server_unix_timestamp" not in reply:
            raise ValueError("'server_unix_timestamp' is missing: which candle was still running?")
        return int(reply["server_unix_timestamp"]), reply["candles"]
    if isinstance(reply, dict) and all(isinstance(reply.get(name[0]), list) for name in _NEEDED):
        columns = [reply[name[0]] for name in _NEEDED]
        rows = [dict(zip(_NEEDED, row, strict=True)) for row in zip(*columns, strict=True)]
        volumes = reply.get(_VOLUME[0])
        if isinstance(volumes, list) and len(volumes) == len(rows):
            rows = [row | {_VOLUME: value} for row, value in zip(rows, volumes, strict=True)]
        return None, rows
    raise ValueError("no recorded reply: give 'candles' (legacy) or columns t, o, h, l, c, v (v4)")


def _csv_rows(text: str) -> Rows:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    for names in (list(FIELDS), [name[0] for name in FIELDS]):
        if set(reader.fieldnames or ()) >= set(names) - {_VOLUME, _VOLUME[0]}:
            return [
                dict(zip(FIELDS, (row.get(name) or None for name in names), strict=True))
                for row in reader
                if any(row.values())
            ]
    raise ValueError(f"the header must have {','.join(_NEEDED)} or t,o,h,l,c")


def _bar(where: str, row: Mapping[str, Any]) -> Bar:
    try:
        stamp, *prices = (Decimal(row[name]) for name in _NEEDED)
        # A stamp from a float column reads 1641081600.0.
        whole = 0 <= stamp < FIRST_FINER_STAMP and stamp == int(stamp)
        if whole and all(number.is_finite() for number in prices):
            opened, high, low, close = prices
            return Bar(int(stamp), opened, high, low, close, _volume(row.get(_VOLUME)))
    except (ArithmeticError, TypeError, ValueError, KeyError):
        pass
    raise ValueError(
        f"{where} is no candle of a time in whole unix seconds and four prices: {row!r:.200}"
    )


def _volume(value: Any) -> Decimal | Raw | None:
    """The volume, or what is sent in its place."""
    if value is None or isinstance(value, Raw):
        return value
    if isinstance(value, str):
        try:
            volume = Decimal(value)
        except ArithmeticError:
            pass
        else:
            # Written out, a number of a huge exponent would fill the memory.
            if volume.is_finite() and abs(volume.adjusted()) < _MOST_DIGITS:
                return volume
    return Raw(json.dumps(value))


def _interval(bars: Sequence[Bar]) -> Interval:
    """The smallest distance between two different stamps. Raises ValueError on any other."""
    steps = [later.stamp - bar.stamp for bar, later in pairwise(bars) if later.stamp != bar.stamp]
    if not steps:
        raise ValueError(f"has {len(bars)} candles; two of different times show their interval")
    for interval in Interval:
        if interval.seconds == min(steps):
            return interval
    allowed = ", ".join(f"{item.seconds} ({item})" for item in Interval)
    raise ValueError(f"the smallest distance between candles is {min(steps)} s, none of {allowed}")
