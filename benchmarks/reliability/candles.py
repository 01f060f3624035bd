"""Invalid candles: a million generated ones, none of which may be used; then asked of the databases.

`spoiling` makes up replies, `oracle` says which of their candles may be used; whatever else the product
takes is an invalid candle accepted. Those that are wrong by themselves, and not only for the moment at
which they came, are written to a database directly as well, past all our code: it must refuse each. It
must take every valid one, as the product must.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from app.core.market import CandlePage
from app.utils.candles import RawCandle, closed_page
from benchmarks.reliability import oracle
from benchmarks.reliability.asking import Asking, expressed
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.rig import Where, database
from benchmarks.reliability.spoiling import Asked, reply

STEP_EVERY: Final = 1_000
ALL_KINDS_FROM: Final = 10_000
"""Invalid candles in which each kind of fault must occur, or the generator has a hole."""

_FAULTS: Final = (*oracle.ITS_OWN, *oracle.OF_ITS_REPLY)
_UNSTAMPED: Final = ("stamp no number", "stamp with a fraction", "stamp before 2011")

SEEDS: Final = {"sqlite": 1, "postgres": 2}

Page = Callable[[Asked], CandlePage]


@dataclass
class Tally:
    """What became of the rows, and the ways in which it was wrong."""

    verdicts: Counter[str] = field(default_factory=Counter)
    due: int = 0
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)

    @property
    def invalid(self) -> int:
        """Rows with a fault; those that nobody asked for have none."""
        return sum(self.verdicts[name] for name in _FAULTS)


def product(asked: Asked) -> CandlePage:
    """What the product makes of a reply."""
    return closed_page(asked.rows, asked.interval, asked.first, asked.last, asked.now)


def measure(
    where: Where, runs: int = 1_000_000, step: Step = no_step, *, page: Page = product
) -> list[Figure]:
    """Judge replies until `runs` invalid rows have come, and ask one kind of database about them."""
    chance = random.Random(SEEDS[where.kind])
    tally = Tally()
    steps = 0
    with database(where) as db:
        asking = Asking(db.engine)
        try:
            while tally.invalid < runs:
                asked = reply(chance)
                _judge(asked, page(asked), asking, tally)
                while steps < tally.invalid // STEP_EVERY:
                    steps += 1
                    step()
        finally:
            asking.close()
    return _figures(where, runs, tally, asking)


def _judge(asked: Asked, page: CandlePage, asking: Asking, tally: Tally) -> None:
    """Compare what was made of a reply with what the oracle says of it, and ask the database."""
    interval, rows = asked.interval.value, asked.rows
    about = f"{interval} [{asked.first}, {asked.last}] at {asked.now}"
    judged = oracle.verdicts(rows, interval, asked.first, asked.last, asked.now)
    wanted = oracle.acceptable(rows, judged)
    taken = {
        candle.bucket: (
            candle.bucket, candle.open, candle.high, candle.low, candle.close, candle.volume,
        )
        for candle in page.candles
    }  # fmt: skip
    for bucket, values in taken.items():
        if wanted.get(bucket) != values:
            tally.accepted.append(f"{values} of {about} of {rows!r}"[:300])
    if len(taken) != len(page.candles):
        tally.accepted.append(f"a bucket came out twice of {about} of {rows!r}"[:300])
    tally.refused += [f"{v} of {about}" for b, v in wanted.items() if taken.get(b) != v]
    if wanted and not asking.takes(list(wanted.values()), interval):
        tally.refused.append(f"by the database: one of {list(wanted.values())}"[:300])
    told = {item.bucket for item in page.refused if item.reason}
    for row, verdict in zip(rows, judged, strict=True):
        tally.verdicts[verdict] += 1
        due = _due(row, verdict, asked)
        tally.due += due is not ...
        if due is not ... and due not in told:
            tally.silent.append(f"{verdict}: {row!r} of {about}"[:300])
        if verdict in oracle.ITS_OWN:
            written = expressed(row, interval)
            if written is not None and not asking.refuses(written, interval):
                tally.stored.append(f"{interval} {written} of {row!r}"[:300])


def _due(row: RawCandle, verdict: str, asked: Asked) -> object:
    """The bucket as of which a row's fault must be reported: None where its stamp says none, `...`
    where the row was not asked for or came too early, which is no fault of the exchange."""
    if verdict in _UNSTAMPED:
        return None
    bucket = oracle.whole(row.bucket, 1)
    if bucket is None or verdict not in _FAULTS or bucket >= oracle.MILLISECONDS:
        return ...
    step = oracle.STEPS[asked.interval.value]
    closed = bucket // step * step + step + oracle.SETTLED <= asked.now
    return bucket // step * step if asked.first <= bucket <= asked.last and closed else ...


def _figures(where: Where, runs: int, tally: Tally, asking: Asking) -> list[Figure]:
    kinds = {name: tally.verdicts[name] for name in _FAULTS}
    rarest = min(kinds, key=lambda name: kinds[name])
    missing = [name for name, count in kinds.items() if runs >= ALL_KINDS_FROM and not count]
    refusals = ", ".join(f"{name} {count:,}" for name, count in asking.refusals.most_common())
    own = sum(tally.verdicts[name] for name in oracle.ITS_OWN)
    valid = tally.verdicts[oracle.VALID]
    return [
        figure(
            "invalid candles accepted",
            f"code ({where.kind}'s seed)",
            tally.invalid,
            f"{len(tally.accepted)} of {tally.invalid:,}; {len(kinds) - len(missing)} kinds of faults, "
            f"the rarest ({rarest}) {kinds[rarest]:,} times; {len(tally.silent)} of {tally.due:,} that "
            "must be reported are not",
            tally.accepted + tally.silent + [f"never generated: {name}" for name in missing],
            least=runs,
        ),
        figure(
            "invalid candles that the database takes when asked directly",
            where.kind,
            asking.asked,
            f"{len(tally.stored)} of {asking.asked:,} (refused by: {refusals}); {own:,} are wrong by "
            "themselves, the others of these cannot be written into a column",
            tally.stored,
            least=runs // 2,
        ),
        figure(
            "valid candles refused, by the code or by the database",
            where.kind,
            valid,
            f"{len(tally.refused)} of {valid:,}",
            tally.refused,
            least=runs // 10,
        ),
    ]
