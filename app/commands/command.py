"""What every command has in common: its command line, its start, its end, and its exit code.

0   all of it is done
1   some of it failed; what failed is named, the rest is stored
2   it could not start: a setting, the database, the command line
3   it is done, but standard output did not take what it printed: the disk is full, or the reader
    left before it had the result
130 / 143   interrupted or terminated; what was committed before stays

A command that serves handles both signals itself, and ends with 0 after one.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NoReturn

from app.commands import output
from app.core import logging
from app.core.errors import ConfigurationError, InvalidRequest, MmsError, StoreError
from app.core.logging import structlog
from app.core.settings import Settings, load_settings

DONE: Final = 0
SOME_FAILED: Final = 1
NOT_STARTED: Final = 2


class Terminated(BaseException):
    """SIGTERM arrived. Not an Exception: only the command's end may catch it."""


class BadCommandLine(Exception):
    """The arguments cannot be understood; the message says which one, and why."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class HelpPrinted(SystemExit):
    """--help was printed, and nothing else is to do."""


class CommandFailed(Exception):
    """The work ended early, with this exit code and sentence; raise it from the cause."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


PlainWork = Callable[[argparse.Namespace], int]
"""What a command does with its options; returns the exit code."""

Work = Callable[[Settings, argparse.Namespace], int]
"""What a command does with its settings and its options; returns the exit code."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended. `error` and `reason` say what ended it early; None where it is done.

    `as_json` says whether the command line has --json.
    """

    command: str
    code: int
    as_json: bool
    error: str | None = None
    reason: str | None = None

    @property
    def cause(self) -> dict[str, str | None]:
        """The members that the line of JSON has after an early end; none after any other."""
        return {} if self.error is None else {"error": self.error, "reason": self.reason}


Conclude = Callable[[Ending], int]
"""Reports the end on standard output; returns the exit code."""


class Parser(argparse.ArgumentParser):
    """argparse that raises its errors, and prints its help through `output`."""

    def error(self, message: str) -> NoReturn:
        """Raise BadCommandLine."""
        raise BadCommandLine(message, self.format_usage())

    def exit(self, status: int = 0, _message: str | None = None) -> NoReturn:
        """Raise HelpPrinted: nothing else gets here."""
        raise HelpPrinted(status)

    def print_help(self, _file: object = None) -> None:
        """Print the help to standard output."""
        output.line(self.format_help().rstrip("\n"))


def plain_parser(prog: str, description: str | None) -> Parser:
    """A parser without options. `prog` is the typed name, `description` the module's docstring."""
    return Parser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def command_parser(prog: str, description: str | None) -> Parser:
    """A parser with --json, for every command that ends by itself."""
    parser = plain_parser(prog, description)
    add_json(parser)
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json to a command."""
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one line of JSON and nothing else on standard output; tables go to standard error",
    )


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """An argument type: a whole number from `least` to `most`, which are not negative."""

    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return number

    return read


def json_of_an_early_end(end: Ending) -> int:
    """With --json, print what ended the work early in place of the work's own line."""
    if end.as_json and end.error is not None:
        output.json_line({"command": end.command, "exit": end.code, **end.cause})
    return end.code


def _nothing(_options: argparse.Namespace) -> Mapping[str, Any]:
    return {}


def run(
    command: str,
    parser: Parser,
    argv: Sequence[str] | None,
    work: Work,
    *,
    overrides: Callable[[argparse.Namespace], Mapping[str, Any]] = _nothing,
    conclude: Conclude = json_of_an_early_end,
    own_signals: bool = False,
    stays: str = "what was committed stays",
) -> int:
    """Read the command line and the settings, set up the log, do the work; returns the exit code.

    An early end is explained in one sentence on standard error. `overrides` returns the settings
    that the options give in place of the environment's. `conclude` reports the end and may change
    the exit code. `stays` says what an interrupt leaves. A command with `own_signals` handles
    SIGINT and SIGTERM itself.
    """

    def configured(options: argparse.Namespace) -> int:
        settings = load_settings(**overrides(options))
        logging.configure(settings.log_level, settings.log_format, secrets=settings.secrets())
        return work(settings, options)

    return run_without_settings(
        command,
        parser,
        argv,
        configured,
        conclude=conclude,
        own_signals=own_signals,
        stays=stays,
    )


def run_without_settings(
    command: str,
    parser: Parser,
    argv: Sequence[str] | None,
    work: PlainWork,
    *,
    conclude: Conclude = json_of_an_early_end,
    own_signals: bool = False,
    stays: str = "what was committed stays",
) -> int:
    """As `run`, for work that needs no settings."""

    def whole() -> int:
        try:
            end = _attempt(command, parser, argv, work, own_signals=own_signals, stays=stays)
        except HelpPrinted:
            return DONE
        return conclude(end)

    return output.delivered(command, whole)


def _attempt(
    command: str,
    parser: Parser,
    argv: Sequence[str] | None,
    work: PlainWork,
    *,
    own_signals: bool,
    stays: str,
) -> Ending:
    """Do the work; explain an early end on standard error."""
    logging.configure()  # so that errors before the settings are read are logged, too
    arguments = sys.argv[1:] if argv is None else argv
    as_json = "--json" in arguments
    try:
        if not own_signals:
            _raise_interrupts()
        options = parser.parse_args(arguments)
        as_json = getattr(options, "json", False)
        if as_json:
            output.json_only()
        with nullcontext() if own_signals else _terminable():
            return Ending(command, work(options), as_json)
    except (Exception, KeyboardInterrupt, Terminated) as error:  # noqa: BLE001 - last defence
        if isinstance(error, BadCommandLine):
            output.say(error.usage.rstrip("\n"))
        code, reason = meaning(error, command, stays)
        output.say(f"{command}: {reason}")
        cause = error.__cause__ if isinstance(error, CommandFailed) else None
        return Ending(command, code, as_json, type(cause or error).__name__, reason)


def meaning(  # noqa: PLR0911 - a table
    error: BaseException, command: str, stays: str
) -> tuple[int, str]:
    """The exit code of an error, and why the command ended; a crash is logged."""
    match error:
        case BadCommandLine():
            return NOT_STARTED, str(error)
        case CommandFailed():
            return error.code, str(error)
        case ConfigurationError() | InvalidRequest() | StoreError():
            return NOT_STARTED, f"could not start: {error}"
        case MmsError():
            return SOME_FAILED, str(error)
        case KeyboardInterrupt():
            return 128 + signal.SIGINT, f"interrupted; {stays}"
        case Terminated():
            return 128 + signal.SIGTERM, f"terminated; {stays}"
        case _:
            structlog.get_logger().error("command_crashed", command=command, exc_info=error)
            return SOME_FAILED, "crashed; the log says where"


def _raise_interrupts() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, because now there is something to undo (see `app`)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the work as an interrupt does, so that transactions are rolled back."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # A second one must not interrupt what the first has begun, which is bounded in time.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before: Any = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is stop:  # else the process is on its way out
            signal.signal(signal.SIGTERM, before)
