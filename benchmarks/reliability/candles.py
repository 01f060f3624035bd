"""Invalid candles: a million generated ones, none of which may be used; then asked of the databases.

Replies of a few rows are made up at random: sound candles and, for most of them, something wrong in one
or two places, drawn from all that has been seen or feared. Duplicates, equal and not, the running candle
and others that were not asked for come in any order. `oracle` says which candles may be used; whatever
else the product takes is an invalid candle accepted. Invalid ones that whole numbers can express are
then written to both databases directly, past all our code: the constraints must refuse each.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.core.market import Interval
from app.db.session import open_engine
from app.utils.candles import RawCandle, closed_page
from benchmarks.reliability import oracle
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.oracle import HIGHEST, LARGEST, STEPS, TICK, Values
from benchmarks.reliability.rig import NOW, Where, database

STEP_EVERY: Final = 1_000
SAMPLE: Final = 5_000
"""Invalid candles that the databases are asked to store, at the most."""
ROWS_A_REPLY: Final = 12
_SOUND: Final = NOW // 86_400 * 86_400

_WRONG_NUMBERS: Final[tuple[object, ...]] = (
    None, True, False, 1.5, float("nan"), float("inf"), [], [1], {}, {"a": 1}, "", " ", "NaN", "nan",
    "Infinity", "-Infinity", "inf", "1e400", "1e-9", "0.000000001", "1.123456789", "+5", " 5", "5 ", "5.",
    ".5", "0x10", "1_000", "1,5", "1.5.2", "e5", "1e", "--1", "-", "١٢", "５", "1\u00a0", "5\n", "null",
    "9" * 30, "-" + "9" * 30, 10**40, -(10**40), "1e11", 0, "0", "0.00000000", -1, "-1", "-0.00000001",
)  # fmt: skip
_RIGHT_NUMBERS: Final[tuple[object, ...]] = (
    "1e3", "1E+3", "1000.000000000000", "0001000", 1_000, "100000e-2", "1e-8", "0.00000001", "5e0",
)  # fmt: skip


@dataclass
class Tally:
    """What became of the rows; `sound` are invalid for their time or their twins alone."""

    rows: int = 0
    invalid: int = 0
    sound: int = 0
    valid: int = 0
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    sample: list[tuple[Values, str]] = field(default_factory=list)


def measure(
    where: Where, runs: int = 1_000_000, step: Step = no_step, *, seed: int = 1
) -> list[Figure]:
    """Judge replies until `runs` invalid rows have come; then ask one kind of database."""
    chance = random.Random(seed)
    tally = Tally()
    told = 0
    while tally.invalid < runs:
        _judge(chance, tally)
        while told < tally.invalid // STEP_EVERY:
            told += 1
            step()
    with database(where) as db:
        stored = asked(db.url, tally.sample)
    return [
        figure(
            "invalid candles accepted",
            "code",
            tally.invalid,
            f"{len(tally.accepted)} of {tally.invalid:,} ({tally.sound:,} of them for their time or a twin "
            f"alone); {len(tally.refused)} of {tally.valid:,} valid ones refused",
            tally.accepted + tally.refused,
            least=runs,
        ),
        figure(
            "invalid candles that the database itself accepts when asked directly",
            where.kind,
            len(tally.sample),
            f"{len(stored)} of {len(tally.sample):,}",
            stored,
        ),
    ]


def _judge(chance: random.Random, tally: Tally) -> None:
    interval = chance.choice(list(Interval))
    step = interval.seconds
    # Now and then in the first days of 2011, before which nothing counts.
    base = oracle.SECOND_2011 + 3 * step if chance.random() < 0.1 else NOW
    now = base + chance.randrange(-step, step)
    last = now // step * step + chance.randrange(-4, 3) * step
    first = last - chance.randrange(ROWS_A_REPLY) * step
    rows = list(_reply(chance, interval, first, last, now))
    wanted = oracle.acceptable(rows, interval.value, first, last, now)
    page = closed_page(rows, interval, first, last, now)
    taken = {
        candle.bucket: (
            candle.bucket, candle.open, candle.high, candle.low, candle.close, candle.volume,
        )
        for candle in page.candles
    }  # fmt: skip
    for bucket, values in taken.items():
        if wanted.get(bucket) != values:
            tally.accepted.append(f"{interval} {values} at {now}, of {rows!r}"[:300])
    for bucket, values in wanted.items():
        if taken.get(bucket) != values:
            tally.refused.append(f"valid, but refused: {interval} {values} at {now}")
    tally.rows += len(rows)
    # Copies of one candle that agree are that candle, as often as they come.
    for row in rows:
        valid = oracle.whole(row.bucket, 1) in wanted
        tally.valid += valid
        tally.invalid += not valid
        tally.sound += not valid and oracle.sound(row, interval.value)
    if len(tally.sample) < SAMPLE:
        _sample(chance, interval, rows, tally)


def _sample(chance: random.Random, interval: Interval, rows: list[RawCandle], tally: Tally) -> None:
    """Keep an invalid row that whole numbers of 64 bits can express."""
    row = chance.choice(rows)
    stamp = oracle.whole(row.bucket, 1)
    numbers = [oracle.whole(value, TICK) for value in row[1:]]
    values = [value for value in (stamp, *numbers) if value is not None and abs(value) <= LARGEST]
    if len(values) == 6:
        whole: Values = tuple(values)  # type: ignore[assignment] # six of them
        if not oracle.consistent(whole, interval.value):
            tally.sample.append((whole, interval.value))


def _reply(
    chance: random.Random, interval: Interval, first: int, last: int, now: int
) -> Iterator[RawCandle]:
    """Rows around the asked buckets, most of them with something wrong, in any order."""
    step = interval.seconds
    rows = []
    for _ in range(chance.randint(1, ROWS_A_REPLY)):
        bucket = first + chance.randint(-1, (last - first) // step + 2) * step
        row = _sound(chance, bucket)
        if chance.random() < 0.75:
            for _ in range(chance.choice((1, 1, 1, 2))):
                row = chance.choice(_SPOILERS)(chance, row, step, now)
        rows.append(row)
        if chance.random() < 0.15:
            twin = (
                row if chance.random() < 0.5 else chance.choice(_SPOILERS)(chance, row, step, now)
            )
            rows.append(twin)
    if chance.random() < 0.3:
        rows.append(_sound(chance, now // step * step))
    if chance.random() < 0.5:
        chance.shuffle(rows)
    yield from rows


def _sound(chance: random.Random, bucket: int) -> RawCandle:
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


def _stamp(chance: random.Random, row: RawCandle, step: int, now: int) -> RawCandle:
    bucket = oracle.whole(row.bucket, 1) or 0
    running = now // step * step
    wrong: tuple[object, ...] = (
        bucket + 1, bucket - 1, bucket + step // 2, bucket * 1_000, bucket * 10**6, bucket * 10**9,
        str(bucket * 1_000), f"{bucket}.5", f"{bucket}.0", f"{bucket}e0", float(min(bucket, 10**15)), -bucket, 0, step,
        1_293_840_000 - step, running, running + step, running + 400 * step, now + 10 * 365 * 86_400,
        2**63, 10**90, "soon", f" {bucket}", None,
    )  # fmt: skip
    return _with(row, "bucket", chance.choice(wrong))


def _order(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    """A high below, a low above, or an open or close outside, by a tick or by much."""
    by = chance.choice((1, 1, TICK, 10**12))
    name, other, sign = chance.choice(
        (("high", "low", -1), ("low", "high", 1), ("open", "high", 1), ("close", "high", 1),
         ("open", "low", -1), ("close", "low", -1), ("high", "close", -1), ("low", "open", 1))
    )  # fmt: skip
    base = oracle.whole(getattr(row, other), TICK)
    return _with(row, name, _decimal((base or 0) + sign * by))


def _scale(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    """Prices at and beyond the highest, all four together so that their order holds."""
    top = HIGHEST + chance.choice((-1, 0, 1, 1, 10**9, HIGHEST * 100))
    return row._replace(
        open=_decimal(top), high=_decimal(top), low=_decimal(top), close=_decimal(top)
    )


def _negative(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    if chance.random() < 0.5:
        return _with(row, "volume", chance.choice(("-1", "-0.00000001", -5, "1e12", "92233720369")))
    below = _decimal(-chance.randrange(0, 10**10))
    return row._replace(low=below, open=below if chance.random() < 0.5 else row.open)


def _finer(chance: random.Random, row: RawCandle, _step: int, _now: int) -> RawCandle:
    name = chance.choice(RawCandle._fields[1:])
    return _with(row, name, f"{getattr(row, name)}{chance.choice('0159')}")


def _with(row: RawCandle, name: str, value: Any) -> RawCandle:
    return row._replace(**{name: value})


_SPOILERS: Final[tuple[Spoiler, ...]] = (
    _any_field, _any_field, _stamp, _stamp, _order, _order, _scale, _negative, _finer, _odd_but_right,
)  # fmt: skip


def asked(db_url: str, sample: list[tuple[Values, str]]) -> list[str]:
    """Ask a database to store invalid candles; returns those that it took."""
    engine = open_engine(db_url)
    taken = []
    try:
        with engine.connect() as connection:
            for interval in STEPS:
                connection.execute(
                    text(
                        "INSERT INTO series (pair, interval, revision) "
                        f"VALUES ('BTC-BRL', '{interval}', 0)"
                    )
                )
                connection.commit()
                sound = (_SOUND, TICK, 3 * TICK, TICK, 2 * TICK, 0)
                assert _takes(connection, sound, interval), "it refuses a sound one as well"
            for values, interval in sample:
                if _takes(connection, values, interval):
                    taken.append(f"{interval} {values}")
    finally:
        engine.dispose()
    return taken


def _takes(connection: Connection, values: Values, interval: str) -> bool:
    statement = text(
        "INSERT INTO candles (pair, interval, bucket, open, high, low, close, volume) "
        "VALUES ('BTC-BRL', :interval, :bucket, :open, :high, :low, :close, :volume)"
    )
    named = dict(zip(RawCandle._fields, values, strict=True))
    try:
        connection.execute(statement, {**named, "interval": interval})
    except IntegrityError:
        connection.rollback()
        return False
    except DBAPIError as error:  # refused, but for another reason than a constraint
        connection.rollback()
        raise AssertionError(f"{values}: {error.orig}") from error
    connection.rollback()
    return True
