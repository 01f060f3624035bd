"""Collect the spot prices of all symbols every PRICE_POLL_SECONDS: one request for all of them.

The first collection runs at once. The others keep to the schedule however long one takes. An error
of the source is logged, and the next try is at the next slot, or later if the source asks to wait.
SIGTERM and Ctrl-C end it with 0. With --once it collects once, for cron. With --fetch it prints one
price and stores nothing.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from typing import Any, Final

from app import bootstrap
from app.bootstrap import Runtime
from app.commands import output
from app.commands.command import (
    DONE,
    NOT_STARTED,
    SOME_FAILED,
    CommandFailed,
    Terminated,
    command_parser,
    run,
)
from app.core import waits
from app.core.errors import ConfigurationError, MmsError, StoreError, UpstreamError
from app.core.logging import structlog
from app.core.prices import Coin, RefusedPrice, spelt
from app.core.settings import Settings
from app.domain.call_budget import LONGEST_MONTH
from app.domain.fixed_point import text
from app.domain.times import iso
from app.services.prices import Collection, collect, prune
from app.sources.coingecko import PATIENT
from app.workers.slots import Collector, Tally, Wait, log_refused, tidy_up

COMMAND = "price_collector"

BUSY_SECONDS: Final = 3
"""Seconds that a write waits for a locked SQLite file. No signal ends it, and a stop has 5 s."""


def main(argv: Sequence[str] | None = None, prog: str = f"python -m app.workers.{COMMAND}") -> int:
    """Run the command. Exit 0 done or stopped, 1 some prices are missing, 2 could not start."""
    parser = command_parser(prog, __doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--once", action="store_true", help="collect once, then end")
    which.add_argument("--fetch", metavar="SYMBOL", help="print one price, store nothing")
    return run(COMMAND, parser, argv, _work)


def _work(settings: Settings, options: argparse.Namespace) -> int:
    return _fetch(settings, options) if options.fetch is not None else _collect(settings, options)


def _fetch(settings: Settings, options: argparse.Namespace) -> int:
    coin = _coin(settings, options.fetch)
    try:
        # One call without the database, so without the shared rate limiter.
        with bootstrap.open_price_source(settings) as source:
            reply = source.prices([coin], settings.price_currency)
    except UpstreamError as error:
        raise _failed(error) from error
    _report_refused(reply.refused)
    if not reply.prices:
        return _ended(SOME_FAILED, {"refused": _reasons(reply.refused)}, as_json=options.json)
    (price,) = reply.prices
    output.result(f"{coin} {text(price.price)} {price.currency} as of {iso(price.priced_at)}")
    summary = {
        "symbol": coin.symbol,
        "price": text(price.price),
        "currency": price.currency,
        "priced_at": price.priced_at,
    }
    return _ended(DONE, summary, as_json=options.json)


def _collect(settings: Settings, options: argparse.Namespace) -> int:
    network = bootstrap.price_network(settings)
    with (
        closing(bootstrap.for_command(settings, busy_seconds=BUSY_SECONDS)) as runtime,
        bootstrap.open_price_source(
            settings, runtime.limiter_for, runtime.clock, PATIENT, runtime.host_clocks, network
        ) as source,
    ):

        def once() -> Collection:
            return collect(
                source,
                runtime.prices,
                settings.allowed_symbols,
                runtime.price_rules,
                publish=runtime.events.publish,
            )

        if options.once:
            return collect_once(runtime, once, as_json=options.json)
        log_budget(settings)
        summary = {"slots": asdict(loop(runtime, once)), "events": _counted(runtime)}
        return _ended(DONE, summary, as_json=options.json)


def _failed(error: MmsError) -> CommandFailed:
    """Log why the collection failed; return the error that ends the command."""
    structlog.get_logger().error(
        "price_collection_failed", error=type(error).__name__, reason=str(error)
    )
    code = NOT_STARTED if isinstance(error, ConfigurationError) else SOME_FAILED
    return CommandFailed(code, str(error))


def _report_refused(refused: Sequence[RefusedPrice]) -> None:
    log_refused(refused)
    for item in refused:
        output.line(f"{item.coin} not stored: {item.reason}")


def _reasons(refused: Sequence[RefusedPrice]) -> dict[str, str]:
    return {item.coin.symbol: item.reason for item in refused}


def _counted(runtime: Runtime) -> dict[str, int]:
    """Close the event bus and return its final counts."""
    runtime.events.close()
    return runtime.events.counts()


def _ended(code: int, summary: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the JSON summary if `as_json`; return the exit code."""
    if as_json:
        output.json_line({"command": COMMAND, "exit": code, **summary})
    return code


def collect_once(runtime: Runtime, once: Callable[[], Collection], *, as_json: bool) -> int:
    """Collect and prune once, and print the result; return the exit code. Raises CommandFailed."""
    try:
        collection = once()
    except (UpstreamError, StoreError) as error:
        raise _failed(error) from error
    pruned = tidy_up(lambda: _prune(runtime, collection))
    output.table(
        ("symbol", "price", "currency", "as of"),
        [(p.symbol, text(p.price), p.currency, iso(p.priced_at)) for p in collection.stored],
    )
    _report_refused(collection.refused)
    if not pruned:
        output.line("old prices could not be removed; the log says why")
    summary = {
        "stored": {p.symbol: text(p.price) for p in collection.stored},
        "refused": _reasons(collection.refused),
        "events": _counted(runtime),
    }
    return _ended(
        DONE if pruned and not collection.refused else SOME_FAILED, summary, as_json=as_json
    )


def _prune(runtime: Runtime, collection: Collection) -> int:
    days = runtime.settings.price_retention_days
    return prune(runtime.prices, days, runtime.clock(), collection)


def loop(
    runtime: Runtime,
    once: Callable[[], Collection],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    wait: Wait = waits.sleep,
    jitter: Callable[[], float] = random.random,
) -> Tally:
    """Collect and prune by the settings until a signal ends it; return the tally."""
    settings = runtime.settings
    collector = Collector(once, monotonic=monotonic, wait=wait)
    with suppress(Terminated, KeyboardInterrupt):  # the normal way to stop it
        collector.run(
            settings.price_poll_seconds, jitter=jitter, tidy=lambda last: _prune(runtime, last)
        )
    return collector.tally


def log_budget(settings: Settings) -> None:
    """Log how many calls of the longest month the collector needs; warn if there are fewer."""
    budget = bootstrap.call_budget(settings)
    if budget is None:
        return
    needed = budget.needed(LONGEST_MONTH)
    log = structlog.get_logger()
    counts = {"calls_a_month": needed, "monthly_calls": budget.calls}
    if needed <= budget.calls:
        log.info("price_budget", **counts, left_for_requests=budget.calls - needed)
        return
    log.warning(
        "price_budget_too_small",
        **counts,
        advice=f"set PRICE_POLL_SECONDS={budget.shortest_poll} or more; or use a larger plan, and "
        "set COINGECKO_MONTHLY_CALLS to its calls",
    )


def _coin(settings: Settings, name: str) -> Coin:
    """The configured coin, or any that Coin.parse knows. Raises ConfigurationError."""
    coins = {coin.symbol: coin for coin in settings.allowed_symbols}
    try:
        return coins.get(spelt(name)) or Coin.parse(name)
    except MmsError as error:
        raise ConfigurationError(f"--fetch: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
