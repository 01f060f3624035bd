"""The same service against a stand-in exchange, without a network.

Prices are simulated, and the demo says so. Everything else is real: the loader asks the stand-in
over HTTP, and the API reads from a SQLite file of its own, data/demo.db. As at a real exchange,
something goes wrong now and then (`app.sandbox.incidents`): the addresses that are printed show
what the service makes of it.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from app import serve
from app.api.routes.page import has_chart
from app.commands import command, output
from app.core.errors import ConfigurationError
from app.core.how_to_run import how_to_run, without_chart
from app.core.market import Interval, Series
from app.core.setting_sources import SUFFIX
from app.core.settings import Settings, load_settings
from app.domain.times import iso
from app.processes.keeper import COLLECTOR, INCREMENTAL, Children
from app.processes.local import serve_and_keep
from app.sandbox.exchange import COINGECKO_PATH, V4_PATH, Exchange
from app.sandbox.incidents import NEEDED_DAYS, Incidents, MissingDays
from app.sandbox.prices import SimulatedPrices, SpikedPrices
from app.sandbox.server import serve as serve_exchange
from app.sandbox.simulation import BASE_PRICES, Simulation

COMMAND = "demo"

FILE: Final = "data/demo.db"
DATABASE: Final = f"sqlite:///./{FILE}"
SEED: Final = 1

SPIKE: Final = Decimal("1.1")
SPIKE_SECONDS: Final = 600

_REREAD: Final = "30"
"""Candles that the load after the first one reads again. Meanwhile some minutes may have passed."""


def main(argv: Sequence[str] | None = None, prog: str = "python -m app.processes.demo") -> int:
    """Serve until a signal. Exit 0 after a stop, 2 where it could not start."""
    parser = command.plain_parser(prog, __doc__)
    serve.add_address(parser)
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show the log as well (setting LOG_LEVEL)"
    )
    return command.run(
        COMMAND, parser, argv, _demonstrate, overrides=_given_settings, own_signals=True
    )


def _given_settings(options: argparse.Namespace) -> dict[str, Any]:
    quiet = {} if options.verbose else {"log_level": "WARNING"}
    return serve.address(options) | quiet


@dataclass(frozen=True, slots=True)
class Sights:
    """What there is to see: the series with incidents, its missing days, the exchange's v4 URL."""

    series: Series
    days: MissingDays | None
    exchange: str


def _demonstrate(own: Settings, options: argparse.Namespace) -> int:
    now = time.time()
    daily = Interval.DAY in own.intervals
    series = Series(own.allowed_pairs[0], Interval.DAY if daily else own.intervals[0])
    days = MissingDays.before(now) if own.history_days >= NEEDED_DAYS else None
    pairs = {**BASE_PRICES, **dict.fromkeys(set(own.allowed_pairs) - BASE_PRICES.keys())}
    prices = SpikedPrices(
        SimulatedPrices(SEED, own.allowed_symbols), own.allowed_symbols[0], SPIKE, SPIKE_SECONDS
    )
    exchange = Exchange(Simulation(SEED, pairs), clock=time.time, prices=prices)
    incidents = Incidents(exchange.book, series, days, now)
    first_time = not Path(FILE).exists()
    if first_time:
        incidents.begin()
    with serve_exchange(exchange) as exchange_url:
        fixed = {
            "ENV": "dev",
            "DB_URL": DATABASE,
            "DB_READ_URL": "none://",
            "CANDLE_SOURCE": "mercado_bitcoin",
            "MB_API_BASE_URL": exchange_url + V4_PATH,
            "MB_REQUESTS_PER_SECOND": "1000",
            "COINGECKO_API_BASE_URL": exchange_url + COINGECKO_PATH,
            "COINGECKO_REQUESTS_PER_SECOND": "1000",
            "COINGECKO_MONTHLY_CALLS": "off",
            "PRICE_POLL_SECONDS": "10",
        }
        overrides: dict[str, Any] = {name.lower(): value for name, value in fixed.items()}
        if not options.verbose:
            # A warning of a loader is about an incident that is shown anyway.
            fixed["LOG_LEVEL"] = "ERROR"
        kept = {n: v for n, v in os.environ.items() if n.removesuffix(SUFFIX) not in fixed}
        port = _free_port(own.host, own.port)
        settings = load_settings(**overrides, host=own.host, port=port, log_level=own.log_level)
        output.line(f"Demo: a simulated exchange on {exchange_url}, prices are made up.")
        output.line(f"Its data are in {FILE}. To begin anew, stop the demo and delete that file.")

        def loaded(base_url: str, children: Children) -> None:
            again = [[COLLECTOR, "--once"]]
            if first_time:
                incidents.end()
                again.insert(0, [INCREMENTAL, "--reread", _REREAD])
            codes = [children.run(*run).code for run in again]
            if all(code in range(3) for code in codes):  # else a signal ends the demo, too
                show(base_url, settings, Sights(series, days, exchange_url + V4_PATH))

        return serve_and_keep(settings, {**kept, **fixed}, loaded)


def show(base_url: str, settings: Settings, sights: Sights) -> None:
    """Print the addresses worth opening with what each shows, and one request with its reply."""
    series = sights.series
    interval = "" if series.interval is Interval.DAY else f"&interval={series.interval}"
    pair, symbol = (
        quote(str(item), safe="") for item in (series.pair, settings.allowed_symbols[0])
    )
    query = interval.replace("&", "?")
    days = sights.days
    missing = frozenset[int]()
    if days is not None:
        missing = _missing(f"{base_url}/{pair}/gaps{query}", (days.lasting, days.late))
    addresses = dict(_addresses(pair, symbol, query, days, missing))
    if not settings.has_docs:
        del addresses["/docs"]
    width = max(map(len, addresses))
    listed = "\n".join(f"  {base_url}{a:{width}}  {words}" for a, words in addresses.items())
    url = f"{base_url}/{pair}/mms?range=20{interval}"
    output.line(f"""
Worth opening:
{listed}
{'' if has_chart() else without_chart()}{_repairing(sights, missing)}
An example:
  $ curl '{url}'
  {_answer(url)}
{_collecting(base_url, symbol, settings)}
Stop with Ctrl-C.""")


def _addresses(
    pair: str, symbol: str, query: str, days: MissingDays | None, missing: frozenset[int]
) -> Iterator[tuple[str, str]]:
    """The addresses worth opening, each with what one sees there."""
    yield "/", "the page: candles, averages, gaps and prices; look here first"
    yield "/docs", "every request, to try out"
    yield "/pairs", "what is served, how complete and how fresh"
    if days is not None and days.lasting in missing:
        words = f"{_date(days.lasting)} stays missing, {_date(days.refused)} was refused"
        if days.late in missing:
            words += f", {_date(days.late)} can be repaired"
        yield f"/{pair}/gaps{query}", words
        yield f"/{pair}/quarantine{query}", "the refused candle, and why"
    if days is None or days.lasting in missing:
        yield f"/{pair}/revisions{query}", "a close that the exchange changed after it was loaded"
    jumps = f"{query or '?'}{'&' if query else ''}threshold=0.03"
    yield f"/{pair}/anomalies{jumps}", "closes that jumped by more than 3 %"
    yield (
        f"/history/{symbol}",
        f"spot prices, the newest first; one jumped by {SPIKE * 100 - 100:.0f} %",
    )
    yield f"/anomaly/{symbol}", f"that jump, for {SPIKE_SECONDS // 60} minutes"


def _repairing(sights: Sights, missing: frozenset[int]) -> str:
    """How to repair the late day; or that the file was begun with other missing days, or none."""
    days = sights.days
    if days is None:
        return ""
    if days.lasting not in missing:
        return f"\n{FILE} is of an earlier demo, and lacks some of what a new one shows.\n"
    if days.late not in missing:
        return ""
    repair = how_to_run("monitor", "--repair")
    return f"""
Repair {_date(days.late)}, which the exchange has by now (it ends with an error: other days stay missing):
  $ DB_URL={DATABASE} MB_API_BASE_URL={sights.exchange} {repair}
"""


def _date(day: int) -> str:
    return iso(day)[:10]


def _collecting(base_url: str, symbol: str, settings: Settings) -> str:
    """How to collect a price."""
    if not settings.collects_without_key:
        return f"\nCollecting a price by request needs an API key here: {how_to_run('keys')}\n"
    return f"""
Collect a price now (without a key, because only this machine can connect):
  $ curl -X POST {base_url}/collect-once/{symbol}
"""


def _missing(url: str, days: Sequence[int]) -> frozenset[int]:
    """Which of the days a reply of /gaps names; all of them where there is no reply."""
    try:
        gaps = json.loads(_read(url))["gaps"]
    except (OSError, HTTPException):
        return frozenset(days)
    return frozenset(day for day in days for gap in gaps if gap["first"] <= iso(day) <= gap["last"])


def _answer(url: str) -> str:
    """The reply of our own API, shortened; without one, the reason."""
    try:
        return _shortened(_read(url))
    except (OSError, HTTPException) as error:
        return f"No answer now: {error}"


def _read(url: str) -> str:
    """The body of a reply of our own API. Raises OSError or HTTPException."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # on this machine
    with opener.open(url, timeout=10) as reply:
        body: bytes = reply.read()
        return body.decode()


def _shortened(answer: str) -> str:
    """The first and the last rows of a JSON array, and how many there are."""
    rows = answer.strip("[]\n").split("},")
    if len(rows) <= 3:
        return answer.rstrip()
    return f"[{rows[0]}}}, {rows[1]}}}, … {rows[-1]}]   ({len(rows)} rows)"


def _free_port(host: str, port: int) -> int:
    """`port`, or a free one where it is in use: that is no reason for a demo to fail."""
    try:
        with serve.listening(host, port):
            return port
    except ConfigurationError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
            return port  # the server will say what is wrong with it
        with serve.listening(host, 0) as others:
            free: int = others[0].getsockname()[1]
        output.line(f"Port {port} is in use; using {free}.")
        return free


if __name__ == "__main__":
    sys.exit(main())
