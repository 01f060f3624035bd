"""Options of the commands that work on stored series."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from app.commands.command import Parser, command_parser
from app.core import names
from app.core.errors import ConfigurationError, MmsError
from app.core.market import Interval, Pair, Series
from app.core.settings import Settings


def series_parser(prog: str, description: str | None) -> Parser:
    """Build a parser with the options of every command that works on series."""
    parser = command_parser(prog, description)
    parser.add_argument(
        "--pairs", metavar="LIST", help="only these of ALLOWED_PAIRS, such as BRLBTC,ETH-BRL"
    )
    add_interval(parser)
    return parser


def add_interval(parser: Parser) -> None:
    """Add the option that selects one interval."""
    parser.add_argument(
        "--interval", metavar="NAME", help="only this one of INTERVALS (1m, 15m, 1h, 3h, 1d)"
    )


def series_of(settings: Settings, options: argparse.Namespace) -> list[Series]:
    """Return the configured series that `pairs` and `--interval` select, interval by interval.

    Raises ConfigurationError if they name one that is not configured.
    """
    pairs = settings.allowed_pairs
    if options.pairs is not None:
        pairs = tuple(
            dict.fromkeys(_configured(settings, text) for text in options.pairs.split(","))
        )
    intervals: Sequence[Interval] = settings.intervals
    if options.interval is not None:
        interval = Interval.parse(options.interval)
        if interval not in intervals:
            served = ", ".join(item.value for item in intervals)
            raise ConfigurationError(
                f"--interval {interval} is not among INTERVALS ({served}); add it there"
            )
        intervals = [interval]
    return [Series(pair, interval) for interval in intervals for pair in pairs]


def _configured(settings: Settings, text: str) -> Pair:
    name = names.cased(text.strip())
    for pair in settings.allowed_pairs:
        if name in (pair.legacy, pair.symbol):
            return pair
    try:
        other = Pair.parse(text)
    except MmsError as error:
        raise ConfigurationError(str(error)) from None
    served = ", ".join(str(item) for item in settings.allowed_pairs)
    raise ConfigurationError(f"{other} is not among ALLOWED_PAIRS ({served}); add it there")
