"""The exchange that the options of `python -m app.sandbox` describe: its book, clock and limits."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from app.core.errors import ConfigurationError
from app.core.market import Interval, Pair
from app.core.ports import Clock
from app.sandbox.book import Bar, CandleBook, JoinedBook, ReplayBook
from app.sandbox.exchange import Exchange
from app.sandbox.options import SimulatedPair
from app.sandbox.price_books import SimulatedPrices, read_prices
from app.sandbox.recording import Recording, read_recording, shift_to_yesterday
from app.sandbox.simulation import BASE_PRICES, Simulation

FIRST_PAIR: Final = Pair("BTC", "BRL")
"""What the first replayed file is where no --pair says so."""


def build_exchange(
    options: argparse.Namespace, wall: Clock, note: Callable[[str], None]
) -> Exchange:
    """The exchange that the options ask for; `note` is told what a user would not expect.

    `wall` is the real time. Raises ConfigurationError: one line that says what to change.
    """
    recordings = [read_recording(path) for path in options.replay]
    started = wall()
    begin = options.now
    if begin is None:
        begin = started if options.shift_to_yesterday else _start(recordings, started, note)
    if options.shift_to_yesterday:
        recordings = [shift_to_yesterday(item, begin) for item in recordings]

    exchange = Exchange(
        _book(options, recordings),
        clock=wall if begin == started else lambda: begin + (wall() - started),
        prices=(
            read_prices(options.prices, note) if options.prices else SimulatedPrices(options.seed)
        ),
        page_limit=options.page_limit,
        requests_per_second=options.requests_per_second,
    )
    exchange.faults.add(*options.fault)
    for pair, span in options.missing:
        if pair not in exchange.book.pairs:
            offered = ", ".join(map(str, exchange.book.pairs))
            raise ConfigurationError(f"--missing {pair}: this exchange has only {offered}")
        exchange.book.remove_span(pair, span)
    return exchange


def _book(options: argparse.Namespace, recordings: Sequence[Recording]) -> CandleBook:
    if not recordings:
        if options.shift_to_yesterday:
            raise ConfigurationError("--shift-to-yesterday moves recorded candles: add --replay")
        wanted = dict([*options.pair, *options.simulate])
        return Simulation(options.seed, {**BASE_PRICES, **wanted})
    series: dict[tuple[Pair, Interval], Sequence[Bar]] = {}
    for pair, recording in zip(_replayed(options, len(recordings)), recordings, strict=True):
        if (pair, recording.interval) in series:
            raise ConfigurationError(
                f"{recording.name}: a file before it holds {pair} at {recording.interval}, too; "
                "give it another --pair, or put both in one file"
            )
        series[pair, recording.interval] = recording.bars
    replay = ReplayBook(series)
    if not options.simulate:
        return replay
    wanted = dict(options.simulate)
    for pair in wanted:
        if pair in replay.pairs:
            raise ConfigurationError(f"--simulate {pair}: this pair is replayed from a file")
    return JoinedBook([replay, Simulation(options.seed, wanted)])


def _replayed(options: argparse.Namespace, files: int) -> list[Pair]:
    """One pair for each file, in order."""
    named: list[SimulatedPair] = options.pair or [(FIRST_PAIR, None)]
    for pair, price in named:
        if price is not None:
            raise ConfigurationError(f"--pair {pair}={price}: a replayed pair has its own prices")
    if len(named) != files:
        raise ConfigurationError(
            f"{files} files to replay but {len(named)} pairs: give one --pair for each --replay, "
            "in the same order"
        )
    return [pair for pair, _ in named]


def _start(recordings: Sequence[Recording], wall: float, note: Callable[[str], None]) -> float:
    """Where the clock starts: when the replies were recorded; formats that do not tell mean now."""
    starts = {wall if item.server_time is None else item.server_time for item in recordings}
    if not starts:
        return wall
    latest = max(starts)
    if len(starts) > 1:
        shown = datetime.fromtimestamp(latest, UTC).isoformat(timespec="seconds")
        note(f"the replayed files are of different times; the clock starts at the latest, {shown}")
    return latest
