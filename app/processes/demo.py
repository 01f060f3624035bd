"""The same service against a stand-in exchange, without a network.

Prices are simulated, and the demo says so. Everything else is real: the loader asks the stand-in
over HTTP, and the API reads from a SQLite file of its own, data/demo.db.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import quote

from app import serve
from app.commands import command, output
from app.core.errors import ConfigurationError
from app.core.how_to_run import how_to_run
from app.core.market import Interval
from app.core.setting_sources import SUFFIX
from app.core.settings import Settings, load_settings
from app.processes.local import serve_and_keep
from app.sandbox.exchange import COINGECKO_PATH, V4_PATH, Exchange
from app.sandbox.prices import SimulatedPrices
from app.sandbox.server import serve as serve_exchange
from app.sandbox.simulation import BASE_PRICES, Simulation

COMMAND = "demo"

DATABASE: Final = "sqlite:///./data/demo.db"
SEED: Final = 1


def main(argv: Sequence[str] | None = None, prog: str = "python -m app.processes.demo") -> int:
    """Serve until a signal. Exit 0 after a stop, 2 where it could not start."""
    parser = command.plain_parser(prog, __doc__)
    serve.add_address(parser)
    return command.run(
        COMMAND,
        parser,
        argv,
        lambda settings, _options: _demonstrate(settings),
        overrides=serve.address,
        own_signals=True,
    )


def _demonstrate(own: Settings) -> int:
    pairs = {**BASE_PRICES, **dict.fromkeys(set(own.allowed_pairs) - BASE_PRICES.keys())}
    prices = SimulatedPrices(SEED, own.allowed_symbols)
    exchange = Exchange(Simulation(SEED, pairs), clock=time.time, prices=prices)
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
        kept = {n: v for n, v in os.environ.items() if n.removesuffix(SUFFIX) not in fixed}
        environment = {**kept, **fixed}
        overrides: dict[str, Any] = {name.lower(): value for name, value in fixed.items()}
        port = _free_port(own.host, own.port)
        settings = load_settings(**overrides, host=own.host, port=port)
        output.line(f"Demo: a simulated exchange on {exchange_url}, prices are made up.")
        return serve_and_keep(settings, environment, lambda base_url: show(base_url, settings))


def show(base_url: str, settings: Settings) -> None:
    """Print the addresses worth opening, and one request with its reply."""
    interval = "" if Interval.DAY in settings.intervals else f"&interval={settings.intervals[0]}"
    pair, symbol = (
        quote(str(item), safe="")
        for item in (settings.allowed_pairs[0], settings.allowed_symbols[0])
    )
    url = f"{base_url}/{pair}/mms?range=20{interval}"
    docs = f"\n  {base_url}/docs" if settings.has_docs else ""
    output.line(f"""
Worth opening:{docs}
  {base_url}/pairs
  {base_url}/history/{symbol}

An example:
  $ curl '{url}'
  {_answer(url)}
{_collecting(base_url, symbol, settings)}
Stop with Ctrl-C.""")


def _collecting(base_url: str, symbol: str, settings: Settings) -> str:
    """How to collect a price."""
    if not settings.collects_without_key:
        return f"\nCollecting a price by request needs an API key here: {how_to_run('keys')}\n"
    return f"""
Collect a price now (without a key, because only this machine can connect):
  $ curl -X POST {base_url}/collect-once/{symbol}
"""


def _answer(url: str) -> str:
    """The reply of our own API, shortened; without one, the reason."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # on this machine
    try:
        with opener.open(url, timeout=10) as reply:
            return _shortened(reply.read().decode())
    except (OSError, HTTPException) as error:
        return f"No answer now: {error}"


def _shortened(answer: str) -> str:
    """The first and the last rows of a JSON array, and how many there are."""
    rows = answer.strip("[]").split("},")
    if len(rows) <= 3:
        return answer
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
