"""mms: every command of MMS API under one name. `mms X` is `python -m` with the module of X.

The console script `mms` calls `console`, `python -m app` calls `main`. Only the module of the
chosen command is imported.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app import __version__
from app.commands import output
from app.core.how_to_run import FRONT

UNKNOWN: Final = 2


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the module whose `main` runs it, and what it does in one line.

    `word` is its name in a module that has several commands.
    """

    module: str
    about: str
    word: str | None = None


COMMANDS: Final = {
    "serve": Command("app.serve", "serve the API"),
    "local": Command("app.processes.local", "serve real data, load what is missing, stay current"),
    "demo": Command(
        "app.processes.demo", "the same against a stand-in exchange, without a network"
    ),
    "load": Command("app.workers.initial_loader", "load candles and averages of HISTORY_DAYS"),
    "update": Command(
        "app.workers.incremental_loader", "load everything since the last stored candle"
    ),
    "reload": Command("app.workers.reload", "load a pair anew, in place of its stored candles"),
    "collect": Command(
        "app.workers.price_collector", "collect spot prices every PRICE_POLL_SECONDS"
    ),
    "monitor": Command("app.monitoring.gap_monitor", "name every missing candle and its cause"),
    "migrate": Command("app.commands.migrate", "bring the database to the current schema"),
    "backup": Command("app.commands.backup", "write all data into a file", word="backup"),
    "restore": Command(
        "app.commands.backup", "put the data of a file into the database", word="restore"
    ),
    "keys": Command("app.keys", "make an API key, or list those that are set"),
    "sandbox": Command("app.sandbox.__main__", "run the stand-in exchange alone"),
}


def main(argv: Sequence[str] | None = None, prog: str = "mms") -> int:
    """Run the command that the first argument names; returns its exit code, 2 without a command."""
    name, *rest = (sys.argv[1:] if argv is None else list(argv)) or [""]
    if name in ("-h", "--help"):
        return output.delivered(prog, lambda: output.line(_help(prog)))
    if name == "--version":
        return output.delivered(prog, lambda: output.line(f"mms {__version__}"))
    command = COMMANDS.get(name)
    if command is None:
        problem = f"there is no command {name!r}" if name else "no command is given"
        advice = f"{prog}: {problem}; use one of {', '.join(COMMANDS)}, or --help"
        return output.delivered(prog, lambda: output.say(advice)) or UNKNOWN
    if command.word is None:
        prog = f"{prog} {name}"
    else:
        rest = [command.word, *rest]
    code: int = importlib.import_module(command.module).main(rest, prog)
    return code


def console() -> int:
    """Run as the console script `mms`, whose name messages then give to other commands."""
    os.environ.setdefault(FRONT, "mms")
    return main()


def _help(prog: str) -> str:
    listed = [f"  {name:<9} {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {prog} COMMAND [ARGUMENT...]",
            "",
            "Exact simple moving averages of crypto pairs, and live prices.",
            "",
            "commands:",
            *listed,
            "",
            f"Each takes --help, as in `{prog} serve --help`. `{prog} --version` prints the version.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(prog="python -m app"))
