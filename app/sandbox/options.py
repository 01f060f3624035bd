"""The options of `python -m app.sandbox`: parsed into typed values, not yet acted upon."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from app.core.errors import ConfigurationError, UnsupportedPair
from app.core.market import DAY, Interval, Pair
from app.sandbox.book import Span
from app.sandbox.exchange import PAGE_LIMIT
from app.sandbox.fault_kinds import described
from app.sandbox.faults import Fault
from app.sandbox.server import HOST
from app.sandbox.simulation import BASE_PRICES, HIGHEST_BASE, LOWEST_BASE

_UNIX: Final = re.compile(r"[0-9]{1,11}(?:\.[0-9]{1,6})?", re.ASCII)

SimulatedPair = tuple[Pair, Decimal | None]
Hole = tuple[Pair, Span]

_DESCRIPTION: Final = f"""\
A stand-in for Mercado Bitcoin and CoinGecko on this machine, for demos and tests. It speaks the v4
API (http://HOST:PORT/api/v4) and the legacy API (http://HOST:PORT/v4), and sends either recorded
candles (--replay) or, without any, a seeded simulation of {", ".join(map(str, BASE_PRICES))}. Spot
prices are at http://HOST:PORT/api/v3/simple/price, recorded (--prices) or simulated as well."""

_EXAMPLES: Final = """\
examples:
  python -m app.sandbox --port 8080
  python -m app.sandbox --replay reply.json --pair BRLBTC --shift-to-yesterday
  python -m app.sandbox --replay btc.csv --replay eth.csv.gz --pair BRLBTC --pair BRLETH
  python -m app.sandbox --missing BRLBTC:2024-03-01..2024-03-03
  python -m app.sandbox --prices replies.jsonl
  curl 'http://127.0.0.1:8080/api/v4/candles?symbol=BTC-BRL&resolution=1d&to=4102444800&countback=3'
  python -m app.sandbox --port 8080 --fault status=503,times=10 --fault stamp=ms,path=ETH-BRL
  curl -d '["trickle=0.5,seconds=60"]' http://127.0.0.1:8080/_sandbox/faults
  curl -X DELETE http://127.0.0.1:8080/_sandbox/faults
"""

_FAULTS: Final = f"""\
faults, each written KIND[=VALUE][,NAME=VALUE...]:
{chr(10).join(described())}
Every kind also takes path=TEXT (only requests whose path and query contain it), after=N (let so many of
them pass first), times=N (how many to hit; else all) and seconds=N (for how long). candle= is a place in
the reply (0 the first, -1 the last, by default -2, the newest closed one), a date, unix seconds, or all.
While it runs, /_sandbox/faults takes more (POST of one such text, an object, or a list of them, as
JSON), lists them (GET) and removes them (DELETE).

"""


def parser() -> argparse.ArgumentParser:
    """The command line. PAIR is written `BRLBTC` or `BTC-BRL`, any case."""
    parse = argparse.ArgumentParser(
        prog="python -m app.sandbox",
        description=_DESCRIPTION,
        epilog=_FAULTS + _EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parse.add_argument
    add("--host", default=HOST, help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=0, help="0, the default, takes a free one and prints it")
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
        type=_simulated_pair,
        action="append",
        default=[],
        metavar="PAIR",
        help="what the --replay file in the same place is (the first: BRLBTC); without --replay, "
        "one more pair to simulate",
    )
    add(
        "--simulate",
        type=_simulated_pair,
        action="append",
        default=[],
        metavar="PAIR[=PRICE]",
        help="simulate this pair beside what is replayed, around this price; several times",
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
        "own time, else now)",
    )
    add(
        "--prices",
        type=Path,
        metavar="FILE",
        help="send these spot prices: a CoinGecko reply in each line, one for each request in turn, "
        "the last one for ever; or in each line a recorded interaction with its url, status and body, "
        "of which each coin's prices are sent in turn. Without last_updated_at a price is of the "
        "request's time",
    )
    add("--seed", type=int, default=1, help="of the simulation (default: %(default)s)")
    add(
        "--page-limit",
        type=_positive,
        default=PAGE_LIMIT,
        metavar="N",
        help="most candles in one reply, the newest ones (default: %(default)s)",
    )
    add(
        "--requests-per-second",
        type=_rate,
        metavar="N",
        help="answer 429 beyond this, for each address; off by default",
    )
    add(
        "--missing",
        type=_hole,
        action="append",
        default=[],
        metavar="PAIR:FROM..TO",
        help="leave these buckets out: dates, or unix seconds of the first and the last minute; "
        "several times",
    )
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="SPEC",
        help="let something go wrong, such as status=503,times=10; the kinds stand below; several "
        "times",
    )
    add("--verbose", action="store_true", help="one line on standard error for each request")
    return parse


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: write 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000000")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.0 < rate <= 1_000_000.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate: write a number above 0")
    return rate


def _fault(text: str) -> Fault:
    try:
        return Fault.parse(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pair(text: str) -> Pair:
    try:
        return Pair.parse(text)
    except UnsupportedPair as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _simulated_pair(text: str) -> SimulatedPair:
    name, equals, price = text.partition("=")
    if not equals:
        return _pair(name), None
    try:
        value = Decimal(price)
        if not LOWEST_BASE <= value <= HIGHEST_BASE:
            raise InvalidOperation
    except InvalidOperation:
        raise argparse.ArgumentTypeError(
            f"{price!r} is not a price: write a number from {LOWEST_BASE} to {HIGHEST_BASE}"
        ) from None
    return _pair(name), value


def _moment(text: str) -> float:
    """Unix seconds, or ISO 8601; without an offset it is UTC."""
    if _UNIX.fullmatch(text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: write 2024-03-30T20:10:17Z or unix seconds"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _hole(text: str) -> Hole:
    name, _, period = text.partition(":")
    first, dots, last = period.partition("..")
    try:
        start, _ = _bounds(first)
        _, end = _bounds(last if dots else first)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not PAIR:FROM..TO with dates or unix seconds, "
            "such as BRLBTC:2024-03-01..2024-03-03"
        ) from None
    if end <= start:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins")
    return _pair(name), (start, end)


def _bounds(text: str) -> Span:
    """The span of one date's day, or of the minute that a unix time lies in."""
    if _UNIX.fullmatch(text):
        minute = Interval.MINUTE.floor(float(text))
        return minute, minute + Interval.MINUTE.seconds
    day = int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    return day, day + DAY
