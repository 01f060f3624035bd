"""What every command has in common: its options, its start, its end, and what its exit code says.

0   everything that was asked for is done
1   some of it failed; what failed is named, the rest is stored
2   it could not start: a setting, the database, the command line
130 / 143   interrupted or terminated; what was committed before stays
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import structlog

from app import bootstrap
from app.bootstrap import Runtime
from app.core import logging
from app.core.errors import ConfigurationError, MmsError, StoreError, UnsupportedInterval
from app.core.market import Interval, Pair
from app.core.settings import Settings, load_settings
from app.db.session import BUSY_SECONDS

DONE: Final = 0
SOME_FAILED: Final = 1
NOT_STARTED: Final = 2


class Terminated(BaseException):
    """SIGTERM arrived. Not an Exception: nothing but the command's end may catch it."""


def command_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with what every command has; `description` is the module's docstring."""
    made = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--json", action="store_true", help="end with one line of JSON on standard output"
    )
    return made


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every command that works on series."""
    made = command_parser(module, description)
    made.add_argument(
        "--pairs", metavar="LIST", help="only these of ALLOWED_PAIRS, such as BRLBTC,ETH-BRL"
    )
    made.add_argument(
        "--interval", metavar="NAME", help="only this one of INTERVALS (1m, 15m, 1h, 3h, 1d)"
    )
    return made


def positive(most: int) -> Callable[[str], int]:
    """An argument type: a whole number from 1 to `most`."""

    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {most}")
        return number

    return read


def run(command: str, work: Callable[[Settings], int]) -> int:
    """Read the settings, set up the log, do the work, and turn what stopped it into an exit code."""
    logging.configure()  # what goes wrong before the settings are known is logged, too
    try:
        settings = load_settings()
        logging.configure(settings.log_level, settings.log_format)
        with _terminable():
            return work(settings)
    except (ConfigurationError, StoreError, UnsupportedInterval) as error:
        sys.stderr.write(f"{command}: could not start: {error}\n")
        return NOT_STARTED
    except KeyboardInterrupt:
        sys.stderr.write(f"{command}: interrupted; what was committed stays\n")
        return 128 + signal.SIGINT
    except Terminated:
        sys.stderr.write(f"{command}: terminated; what was committed stays\n")
        return 128 + signal.SIGTERM
    except MmsError as error:
        sys.stderr.write(f"{command}: {error}\n")
        return SOME_FAILED
    except Exception:  # noqa: BLE001 - a command's last line of defence
        structlog.get_logger().exception("command_crashed", command=command)
        return SOME_FAILED


@contextmanager
def runtime(
    settings: Settings, *, create: bool = True, busy_seconds: int = BUSY_SECONDS
) -> Iterator[Runtime]:
    """The wired-up process, closed at the end; see `bootstrap.build`."""
    made = bootstrap.build(settings, create=create, busy_seconds=busy_seconds)
    try:
        yield made
    finally:
        made.close()


def series_of(settings: Settings, options: argparse.Namespace) -> list[tuple[Pair, Interval]]:
    """The configured series that `--pairs` and `--interval` leave, pair by pair.

    Raises ConfigurationError where they name one that is not configured.
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
    return [(pair, interval) for interval in intervals for pair in pairs]


def _configured(settings: Settings, text: str) -> Pair:
    try:
        pair = Pair.parse(text)
    except MmsError as error:
        raise ConfigurationError(f"--pairs: {error}") from None
    if pair not in settings.allowed_pairs:
        served = ", ".join(str(item) for item in settings.allowed_pairs)
        raise ConfigurationError(
            f"--pairs {pair} is not among ALLOWED_PAIRS ({served}); add it there"
        )
    return pair


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the work as an interrupt would, so that transactions are undone cleanly."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # A second one must not interrupt what the first has begun; all of that is bounded in time.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before: Any = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is stop:  # else the process is on its way out
            signal.signal(signal.SIGTERM, before)
