"""Running other programs within a deadline, and saying plainly why one failed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended; `text` is what it printed on both streams."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Everything that was printed."""
        return self.out + self.err


class CommandFailedError(Exception):
    """A program that had to succeed did not; the message holds the end of what it said."""


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = 120.0,
    folder: str | os.PathLike[str] | None = None,
    text: str | None = None,
) -> Done:
    """Run a program to its end, however it ends. Raises CommandFailedError where it hangs."""
    try:
        done = subprocess.run(  # noqa: S603 - the commands are our own
            list(command),
            env={**os.environ, **(environment or {})},
            cwd=folder,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailedError(f"{shown(command)} did not end within {timeout:.0f} s") from error
    return Done(done.returncode, done.stdout, done.stderr)


def must(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = 120.0,
    folder: str | os.PathLike[str] | None = None,
) -> str:
    """Run a program that has to succeed; returns its standard output."""
    done = run(command, environment=environment, timeout=timeout, folder=folder)
    if done.code:
        last = "\n".join(done.text.strip().splitlines()[-12:])
        raise CommandFailedError(f"{shown(command)} ended with {done.code}:\n{last}")
    return done.out


def shown(command: Sequence[str]) -> str:
    """The command as one line, short enough for a message."""
    line = " ".join(command)
    return line if len(line) <= 160 else f"{line[:160]}…"
