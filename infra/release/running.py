"""Running other programs, in one place that a test can stand in for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Run = Callable[[Sequence[str], str | None], str]
"""A command and its standard input to its standard output; raises CommandFailed."""


class CommandFailed(Exception):
    """A program exited with another code than 0; its own message is on standard error."""


def runner(environment: Mapping[str, str], folder: Path) -> Run:
    """Run commands in `folder`; what they say on standard error goes to ours."""

    def run(command: Sequence[str], given: str | None = None) -> str:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=dict(environment),
                input=given,
                stdin=subprocess.DEVNULL if given is None else None,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
        except OSError as error:
            raise CommandFailed(f"{command[0]} cannot be run: {error.strerror}") from error
        if done.returncode != 0:
            words = " ".join(command[:3])
            raise CommandFailed(f"{words} ended with {done.returncode}\n{done.stdout[-4_000:]}")
        return done.stdout

    return run
