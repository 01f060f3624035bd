"""The options of `python -m app.sandbox`, and the exchange made from them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.commands.command import Parser, plain_parser
from app.core.errors import ConfigurationError
from app.core.market import Pair, Series
from app.core.ports import Clock
from app.domain.times import moment
from app.sandbox.book import Bar, CandleBook, ReplayBook
from app.sandbox.exchange import Exchange
from app.sandbox.fault_kinds import KINDS
from app.sandbox.prices import SimulatedPrices, read_prices
from app.sandbox.recording import Recording, read_recording, shift_to_yesterday
from app.sandbox.server import HOST
from app.sandbox.simulation import BASE_PRICES, Simulation

PROG: Final = "python -m app.sandbox"

FIRST_PAIR: Final = Pair("BTC", "BRL")
"""The pair of a replayed file without --pair."""

_DESCRIPTION: Final = f"""\
A stand-in for Mercado Bitcoin and CoinGecko on this machine, for demos and tests. It speaks the v4
API (http://HOST:PORT/api/v4) and the legacy API (http://HOST:PORT/v4), and sends either recorded
candles (--replay) or, without any, a seeded simulation of {", ".join(map(str, BASE_PRICES))}. Spot
prices are at http://HOST:PORT/api/v3/simple/price, recorded (--prices) or simulated as well."""

_EPILOG: Final = f"""\
kinds of faults:
{chr(10).join(f"  {(kind.__doc__ or '').splitlines()[0]}" for kind in KINDS.values())}
Every kind also takes path=TEXT (only requests whose path and query contain it), after=N (let the
first N of them pass) and times=N (how many to hit; default: all). missing, crossed, value and revise
take candle=: a place in the reply (0 is the first, -1 the last, and the default -2 the newest closed
one), unix seconds, or all.

examples:
  python -m app.sandbox --replay reply.json --pair BRLBTC --shift-to-yesterday
  python -m app.sandbox --replay btc.csv --replay eth.csv.gz --pair BRLBTC --pair BRLETH
  curl 'http://127.0.0.1:8080/api/v4/candles?symbol=BTC-BRL&resolution=1d&from=0&to=4102444800'
  python -m app.sandbox --port 8080 --fault status=503,times=10 --fault crossed,path=ETH-BRL
"""


def parser(prog: str = PROG) -> Parser:
    """The command line. PAIR is written `BRLBTC` or `BTC-BRL`, any case.

    Raises UnsupportedPair for anything else.
    """
    parse = plain_parser(prog, _DESCRIPTION)
    parse.epilog = _EPILOG
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
        type=Pair.parse,
        action="append",
        default=[],
        help="the pair of the --replay file in the same place (default of the first: BRLBTC); "
        "without --replay, one more pair to simulate",
    )
    add(
        "--shift-to-yesterday",
        action="store_true",
        help="move the replayed stamps, so that the last closed candle becomes yesterday's last",
    )
    add(
        "--now",
        type=lambda text: moment(text, "--now").first,
        metavar="TIME",
        help="start the exchange's clock here: unix seconds, or a time such as 2024-03-29T00:00:00Z "
        "(default: the own time of a legacy reply, the latest of several, else now)",
    )
    add(
        "--prices",
        type=Path,
        metavar="FILE",
        help="send these spot prices: in each line a CoinGecko reply, or a recorded interaction with "
        "its url, status and body; each price in turn, the last one for ever",
    )
    add("--seed", type=int, default=1, help="seed of the simulation (default: %(default)s)")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC",
        help="inject a fault, such as status=503,times=10; the kinds are listed below; several times",
    )
    return parse


def build_exchange(options: argparse.Namespace, wall: Clock) -> Exchange:
    """Build the exchange from its options; `wall` is the real time.

    Raises ConfigurationError, with one line that says what to change.
    """
    recordings = [read_recording(path) for path in options.replay]
    started = wall()
    if options.shift_to_yesterday:
        if not recordings:
            raise ConfigurationError("--shift-to-yesterday moves recorded candles: add --replay")
        at = started if options.now is None else options.now
        recordings = [shift_to_yesterday(item, at) for item in recordings]
    begin = options.now
    if begin is None:
        # The latest recording time; a format without one means now.
        times = (item.server_time for item in recordings)
        begin = max((started if at is None else at for at in times), default=started)
    exchange = Exchange(
        _book(options, recordings),
        clock=lambda: begin + (wall() - started),
        prices=read_prices(options.prices) if options.prices else SimulatedPrices(options.seed),
    )
    exchange.faults.add(*options.fault)
    return exchange


def _book(options: argparse.Namespace, recordings: Sequence[Recording]) -> CandleBook:
    if not recordings:
        return Simulation(options.seed, {**BASE_PRICES, **dict.fromkeys(options.pair)})
    pairs = options.pair or [FIRST_PAIR]
    series: dict[Series, Sequence[Bar]] = {
        Series(pair, recording.interval): recording.bars
        for pair, recording in zip(pairs, recordings, strict=False)
    }
    if not len(series) == len(pairs) == len(recordings):
        raise ConfigurationError(
            f"{len(recordings)} files to replay but {len(pairs)} pairs: give one --pair for each "
            "--replay, in the same order, and each pair and interval once"
        )
    return ReplayBook(series)
