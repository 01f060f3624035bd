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
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NoReturn

import structlog

from app import bootstrap, raise_interrupts
from app.bootstrap import Runtime
from app.commands import output
from app.core import logging
from app.core.errors import ConfigurationError, MmsError, StoreError, UnsupportedInterval
from app.core.market import Interval, Pair
from app.core.settings import Settings, load_settings
from app.db.sqlite import BUSY_SECONDS

DONE: Final = 0
SOME_FAILED: Final = 1
NOT_STARTED: Final = 2


class Terminated(BaseException):
    """SIGTERM arrived. Not an Exception: nothing but the command's end may catch it."""


class BadCommandLine(Exception):
    """The arguments cannot be understood; the message says which one, and why."""


Work = Callable[[Settings, argparse.Namespace], int]
"""What a command does with its settings and its options; returns the exit code."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended. `error` and `reason` say what ended it early; None where its work is done.

    `as_json` says that the command line asks for a last line of JSON.
    """

    code: int
    as_json: bool
    error: str | None = None
    reason: str | None = None

    @property
    def cause(self) -> dict[str, str | None]:
        """What the line of JSON says of an early end; nothing of any other."""
        return {} if self.error is None else {"error": self.error, "reason": self.reason}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadCommandLine(message)


def command_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with what every command has; `description` is the module's docstring."""
    made = _Parser(
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


def run(
    command: str, known: argparse.ArgumentParser, argv: Sequence[str] | None, work: Work
) -> int:
    """Read the command line and the settings, do the work, and return the exit code.

    With --json an early end has its line of JSON as well: what the work would have printed last.
    """
    end = attempt(command, known, argv, work)
    if end.as_json and end.error is not None:
        output.json_line({"command": command, "exit": end.code, **end.cause})
    return end.code


def attempt(
    command: str, known: argparse.ArgumentParser, argv: Sequence[str] | None, work: Work
) -> Ending:
    """Set up the log, do the work, and say on standard error what ended it early.

    With --help it prints that and raises SystemExit.
    """
    logging.configure()  # what goes wrong before the settings are known is logged, too
    given = sys.argv[1:] if argv is None else argv
    as_json = "--json" in given

    def early(code: int, error: BaseException, reason: str) -> Ending:
        sys.stderr.write(f"{command}: {reason}\n")
        return Ending(code, as_json, type(error).__name__, reason)

    try:
        raise_interrupts()
        options = known.parse_args(given)
        as_json = options.json
        settings = load_settings()
        logging.configure(settings.log_level, settings.log_format)
        with _terminable():
            return Ending(work(settings, options), as_json)
    except BadCommandLine as error:
        known.print_usage(sys.stderr)
        return early(NOT_STARTED, error, str(error))
    except (ConfigurationError, StoreError, UnsupportedInterval) as error:
        return early(NOT_STARTED, error, f"could not start: {error}")
    except (KeyboardInterrupt, Terminated) as stop:
        terminated = isinstance(stop, Terminated)
        code = 128 + (signal.SIGTERM if terminated else signal.SIGINT)
        word = "terminated" if terminated else "interrupted"
        return early(code, stop, f"{word}; what was committed stays")
    except MmsError as error:
        return early(SOME_FAILED, error, str(error))
    except Exception as error:  # noqa: BLE001 - a command's last line of defence
        structlog.get_logger().exception("command_crashed", command=command)
        return early(SOME_FAILED, error, "crashed; the log says where")


@contextmanager
def runtime(
    settings: Settings, *, create: bool = True, busy_seconds: int = BUSY_SECONDS
) -> Iterator[Runtime]:
    """The wired-up process, closed at the end; see `bootstrap.build`."""
    made = bootstrap.for_command(settings, create=create, busy_seconds=busy_seconds)
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
