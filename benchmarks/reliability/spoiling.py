"""Replies made up at random: sound candles and, for most of them, something wrong in one or two places.

Duplicates, equal and not, the running candle and others that were not asked for come in any order.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from app.core.market import Interval
from app.utils.candles import RawCandle
from benchmarks.reliability.oracle import HIGHEST, LARGEST, SECOND_2011, TICK, rounded, whole
from benchmarks.reliability.rig import NOW

ROWS_A_REPLY: Final = 12

_WRONG_NUMBERS: Final[tuple[object, ...]] = (
    None, None, None, True, False, 1.5, float("nan"), float("inf"), [], [1], {}, {"a": 1}, "", " ", "NaN",
    "nan", "Infinity", "-Infinity", "inf", "1e400", "1e-9", "0.000000001", "1.123456789", "+5", " 5", "5 ",
    "5.", ".5", "0x10", "1_000", "1,5", "1.5.2", "e5", "1e", "--1", "-", "١٢", "５", "1\u00a0", "5\n", "null",
    "9" * 30, "-" + "9" * 30, 10**40, -(10**40), "1e11", 0, "0", "0.00000000", -1, "-1", "-0.00000001",
)  # fmt: skip
_RIGHT_NUMBERS: Final[tuple[object, ...]] = (
    "1e3", "1E+3", "1000.000000000000", "0001000", 1_000, "100000e-2", "1e-8", "0.00000001", "5e0",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A reply, what was asked for, and the exchange's time."""

    interval: Interval
    first: int
    last: int
    now: int
    rows: tuple[RawCandle, ...]


def reply(chance: random.Random) -> Asked:
    """Make up a reply."""
    interval = chance.choice(list(Interval))
    step = interval.seconds
    # Now and then in the first days of 2011, before which nothing counts, and often about the moment
    # at which a candle becomes final.
    base = SECOND_2011 + 3 * step if chance.random() < 0.1 else NOW
    now = base + chance.randrange(-step, step)
    if chance.random() < 0.2:
        now = base // step * step + chance.randrange(-1, 4)
    last = now // step * step + chance.randrange(-4, 2) * step
    first = last - chance.randrange(ROWS_A_REPLY) * step
    rows = []
    around = range(first - step, last + 2 * step, step)
    for bucket in sorted(chance.sample(around, chance.randint(1, len(around)))):
        row = sound(chance, bucket)
        if chance.random() < 0.6:
            for _ in range(chance.choice((1, 1, 1, 2))):
                row = chance.choice(_SPOILERS)(chance, row, step, now)
        rows.append(row)
        if chance.random() < 0.2:
            rows.append(chance.choice((_same, _same, _other, *_SPOILERS))(chance, row, step, now))
    if chance.random() < 0.3:
        rows.insert(chance.randint(0, len(rows)), sound(chance, now // step * step))
    if chance.random() < 0.5:
        chance.shuffle(rows)
    return Asked(interval, first, last, now, tuple(rows))


def sound(chance: random.Random, bucket: int) -> RawCandle:
    """A candle with which nothing is wrong, of any size."""
    low = chance.randrange(1, 10 ** chance.randint(1, 16))
    high = low + chance.randrange(0, 10 ** chance.randint(1, 15))
    opened, close = chance.randint(low, high), chance.randint(low, high)
    volume = chance.randrange(0, 10 ** chance.randint(1, 18))
    texts = [_decimal(value) for value in (opened, high, low, close, volume)]
    return RawCandle(chance.choice((bucket, str(bucket))), *texts)


def _decimal(value: int) -> str:
    sign, value = ("-", -value) if value < 0 else ("", value)
    return f"{sign}{value // TICK}.{value % TICK:08}"


Spoiler = Callable[[random.Random, RawCandle, int, int], RawCandle]


def _any_field(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    return _with(row, chance.choice(RawCandle._fields), chance.choice(_WRONG_NUMBERS))


def _odd_but_right(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    return _with(row, chance.choice(RawCandle._fields[1:]), chance.choice(_RIGHT_NUMBERS))


def _same(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    """The same candle, its numbers written in another way."""
    name = chance.choice(RawCandle._fields[1:])
    value = whole(getattr(row, name), TICK)
    if value is None:
        return row
    written = (f"{_decimal(value)}000", f"{value}e-8", f"00{_decimal(value)}", f"{value}0E-09")
    return _with(row, name, chance.choice(written).replace("00-", "-00"))


def _other(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    """Another candle of the same bucket, as sound: all of it, or one tick of the volume."""
    if chance.random() < 0.5:
        return sound(chance, 0)._replace(bucket=row.bucket)
    volume = rounded(row.volume) or 0
    return _with(row, "volume", _decimal(volume - 1 if volume > 0 else 1))


def _stamp(chance: random.Random, row: RawCandle, step: int, now: int) -> RawCandle:
    bucket = whole(row.bucket, 1) or 0
    running = now // step * step
    in_years = (now + 10 * 365 * 86_400) // step * step
    wrong: tuple[object, ...] = (
        bucket + 1, bucket - 1, bucket + step // 2, bucket * 1_000, bucket * 10**6, bucket * 10**9,
        str(bucket * 1_000), f"{bucket}.5", f"{bucket}.0", f"{bucket}e0", float(min(bucket, 10**15)),
        -bucket, 0, step, SECOND_2011 - 1, SECOND_2011 // step * step - step, running, running,
        running + step, running + 400 * step, in_years, 10**11 // step * step, 2**63, 10**90, "soon",
        f" {bucket}", None,
    )  # fmt: skip
    return _with(row, "bucket", chance.choice(wrong))


def _order(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    """A high below, a low above, or an open or close outside, by a tick or by much."""
    by = chance.choice((1, 1, TICK, 10**12))
    name, other, sign = chance.choice(
        (("high", "low", -1), ("low", "high", 1), ("open", "high", 1), ("close", "high", 1),
         ("open", "low", -1), ("close", "low", -1), ("high", "close", -1), ("low", "open", 1))
    )  # fmt: skip
    base = whole(getattr(row, other), TICK)
    return _with(row, name, _decimal((base or 0) + sign * by))


def _scale(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    """Prices at and beyond the highest, all four together so that their order holds."""
    top = HIGHEST + chance.choice((-1, 0, 0, 1, 1, 10**9, HIGHEST * 100))
    high = _decimal(top)
    low = high if chance.random() < 0.5 else _decimal(1)
    return row._replace(open=low, high=high, low=low, close=high)


def _negative(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    below = _decimal(-chance.randrange(0, 10**10))
    return row._replace(low=below, open=below if chance.random() < 0.5 else row.open)


def _volume(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    """Volumes at both ends of what is kept, and beyond; a finer one is rounded."""
    below = ("-1", -5, "-0.00000001", "-0.000000005", "-0.0000000050001", "-0")
    above = (
        _decimal(LARGEST),
        f"{_decimal(LARGEST)}4",
        f"{_decimal(LARGEST)}5",
        "92233720369",
        "1e12",
    )
    return _with(row, "volume", chance.choice((*below, *above, _decimal(LARGEST + 1))))


def _finer(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    name = chance.choice(RawCandle._fields[1:])
    return _with(row, name, f"{getattr(row, name)}{chance.choice('0159')}")


def _with(row: RawCandle, name: str, value: Any) -> RawCandle:
    return row._replace(**{name: value})


_SPOILERS: Final[tuple[Spoiler, ...]] = (
    _any_field, _any_field, _stamp, _stamp, _order, _order, _scale, _negative, _volume, _finer,
    _odd_but_right,
)  # fmt: skip
