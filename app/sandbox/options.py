"""The options of `python -m app.sandbox`, and the exchange that they describe."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.core.errors import ConfigurationError, UnsupportedPair
from app.core.market import Interval, Pair
from app.core.ports import Clock
from app.sandbox.book import Bar, CandleBook, ReplayBook
from app.sandbox.exchange import Exchange
from app.sandbox.fault_kinds import Fault, described
from app.sandbox.faults import fault
from app.sandbox.price_books import SimulatedPrices, read_prices
from app.sandbox.recording import Recording, read_recording, shift_to_yesterday
from app.sandbox.server import HOST
from app.sandbox.simulation import BASE_PRICES, Simulation

FIRST_PAIR: Final = Pair("BTC", "BRL")
"""What the first replayed file is where no --pair says so."""

_DESCRIPTION: Final = f"""\
A stand-in for Mercado Bitcoin and CoinGecko on this machine, for demos and tests. It speaks the v4
API (http://HOST:PORT/api/v4) and the legacy API (http://HOST:PORT/v4), and sends either recorded
candles (--replay) or, without any, a seeded simulation of {", ".join(map(str, BASE_PRICES))}. Spot
prices are at http://HOST:PORT/api/v3/simple/price, recorded (--prices) or simulated as well."""

_EPILOG: Final = f"""\
faults, each written KIND[=VALUE][,NAME=VALUE...]:
{chr(10).join(described())}
Every kind also takes path=TEXT (only requests whose path and query contain it), after=N (let so many of
them pass first), times=N (how many to hit; else all) and seconds=N (for how long). candle= is a place in
the reply (0 the first, -1 the last, by default -2, the newest closed one), unix seconds, or all.
While it runs, /_sandbox/faults takes more (POST of one such text, an object, or a list of them, as
JSON), lists them (GET) and removes them (DELETE).

examples:
  python -m app.sandbox --replay reply.json --pair BRLBTC --shift-to-yesterday
  python -m app.sandbox --replay btc.csv --replay eth.csv.gz --pair BRLBTC --pair BRLETH
  curl 'http://127.0.0.1:8080/api/v4/candles?symbol=BTC-BRL&resolution=1d&to=4102444800&countback=3'
  python -m app.sandbox --port 8080 --fault status=503,times=10 --fault crossed,path=ETH-BRL
  curl -d '["trickle=0.5,seconds=60"]' http://127.0.0.1:8080/_sandbox/faults
  curl -X DELETE http://127.0.0.1:8080/_sandbox/faults
"""


def parser() -> argparse.ArgumentParser:
    """The command line. PAIR is written `BRLBTC` or `BTC-BRL`, any case."""
    parse = argparse.ArgumentParser(
        prog="python -m app.sandbox",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parse.add_argument
    add("--host", default=HOST, help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="0, the default, takes a free one and prints it")
    add(
        "--replay",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="send these candles: a recorded legacy or v4 reply, or CSV with timestamp,open,high,"
        "low,close,volume or t,o,h,l,c,v; may be gzipped; several times",
    )
    add(
        "--pair",
        type=_pair,
        action="append",
        default=[],
        help="what the --replay file in the same place is (the first: BRLBTC); without --replay, "
        "one more pair to simulate",
    )
    add(
        "--shift-to-yesterday",
        action="store_true",
        help="move the replayed stamps: the last closed candle becomes yesterday's last",
    )
    add(
        "--now",
        type=_moment,
        metavar="TIME",
        help="start the exchange's clock here, unix seconds or ISO 8601 (default: a legacy reply's "
        "own time, the latest of several, else now)",
    )
    add(
        "--prices",
        type=Path,
        metavar="FILE",
        help="send these spot prices: a CoinGecko reply in each line, one for each request in turn, "
        "the last one for ever; or in each line a recorded interaction with its url, status and body. "
        "Without last_updated_at a price is of the request's time",
    )
    add("--seed", type=int, default=1, help="of the simulation (default: %(default)s)")
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="SPEC",
        help="let something go wrong, such as status=503,times=10; the kinds stand below; several "
        "times",
    )
    return parse


def build_exchange(options: argparse.Namespace, wall: Clock) -> Exchange:
    """The exchange that the options ask for; `wall` is the real time.

    Raises ConfigurationError: one line that says what to change.
    """
    recordings = [read_recording(path) for path in options.replay]
    started = wall()
    begin = options.now
    if begin is None:
        # When the replies were recorded, the latest of them; formats that do not tell mean now.
        times = [item.server_time for item in recordings if not options.shift_to_yesterday]
        begin = max((started if at is None else at for at in times), default=started)
    if options.shift_to_yesterday:
        if not recordings:
            raise ConfigurationError("--shift-to-yesterday moves recorded candles: add --replay")
        recordings = [shift_to_yesterday(item, begin) for item in recordings]
    exchange = Exchange(
        _book(options, recordings),
        clock=wall if begin == started else lambda: begin + (wall() - started),
        prices=read_prices(options.prices) if options.prices else SimulatedPrices(options.seed),
    )
    exchange.faults.add(*options.fault)
    return exchange


def _book(options: argparse.Namespace, recordings: Sequence[Recording]) -> CandleBook:
    if not recordings:
        return Simulation(options.seed, {**BASE_PRICES, **dict.fromkeys(options.pair)})
    pairs = options.pair or [FIRST_PAIR]
    if len(pairs) != len(recordings):
        raise ConfigurationError(
            f"{len(recordings)} files to replay but {len(pairs)} pairs: give one --pair for each "
            "--replay, in the same order"
        )
    series: dict[tuple[Pair, Interval], Sequence[Bar]] = {}
    for pair, recording in zip(pairs, recordings, strict=True):
        if (pair, recording.interval) in series:
            raise ConfigurationError(
                f"{recording.name}: a file before it holds {pair} at {recording.interval}, too; "
                "give it another --pair, or put both in one file"
            )
        series[pair, recording.interval] = recording.bars
    return ReplayBook(series)


def _fault(text: str) -> Fault:
    try:
        return fault(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pair(text: str) -> Pair:
    try:
        return Pair.parse(text)
    except UnsupportedPair as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _moment(text: str) -> float:
    """Unix seconds, or ISO 8601; without an offset it is UTC."""
    try:
        return float(text) if text.isdecimal() else _utc(datetime.fromisoformat(text)).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: write 2024-03-30T20:10:17Z or unix seconds"
        ) from None


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
