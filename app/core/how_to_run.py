"""How to type a command where this program runs: with make, as `mms`, a module or a container.

The Makefile, the image and `mms` each set `MMS_FRONT`. Without it, `python -m app` is right: cron
and systemd run modules in a folder whose `.venv` has no `mms`. These words are for operators: of
the API's replies, /readyz alone has them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

FRONT: Final = "MMS_FRONT"

_MAKE: Final = {
    "load": "initial_load",
    "update": "incremental",
    "local": "run_local",
}
_FILE: Final = ("backup", "restore")  # make takes their one argument as FILE
_SCRIPTS: Final = {"chart": "sh scripts/chart.sh"}
"""What is no command of `mms`: it belongs to a copy of the repository."""

_IMAGE: Final = {"serve": "api", "load": "initial-load", "update": "incremental"}


def how_to_run(
    command: str, arguments: str = "", environment: Mapping[str, str] = os.environ
) -> str:
    """What an operator types to run the `mms` command `command` with these arguments here."""
    front = environment.get(FRONT)
    if front == "make":
        variable = "FILE" if command in _FILE else "ARGS"
        quoted = f'"{arguments}"' if " " in arguments else arguments
        given = f" {variable}={quoted}" if arguments else ""
        return f"make {_MAKE.get(command, command)}{given}"
    if command in _SCRIPTS:
        return _SCRIPTS[command]
    start = f"mms {command}" if front == "mms" else f"python -m app {command}"
    if front == "image":
        start = f"docker run IMAGE {_IMAGE.get(command, command)}"
    return f"{start} {arguments}".rstrip()


def without_chart(environment: Mapping[str, str] = os.environ) -> str:
    """What the page lacks without the library of its chart, and how to get it where one can."""
    lacking = "\nThe page shows pictures: the library that draws its chart is not here"
    if environment.get(FRONT) != "make":
        return f"{lacking}.\n"  # it would have to be in the package
    return f"{lacking}. It comes from npm; start again then:\n  $ make chart\n"


def option(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """What an operator adds to the command that was typed, to give it this option."""
    return f"ARGS={name}" if environment.get(FRONT) == "make" else name
