"""The machine and the versions that a result is from."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.reads.load import Programs
from benchmarks.reads.servers import Server

PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "fastapi", "sqlalchemy", "pymemcache")


class Others:
    """How much of the cores processes other than ours take, from when this is made.

    `servers` run from then to the end; children that have ended count as ours, too.
    """

    def __init__(self, servers: Collection[Server]) -> None:
        self._servers = servers
        self._begun, self._theirs = time.monotonic(), self._seconds()

    def share(self) -> float:
        """Their part of all cores until now."""
        theirs = self._seconds() - self._theirs
        return theirs / (time.monotonic() - self._begun) / (os.cpu_count() or 1)

    def _seconds(self) -> float:
        return _busy() - _ours() - sum(sum(server.cpu().values()) for server in self._servers)


def _busy() -> float:
    user, nice, system = Path("/proc/stat").read_text().split(maxsplit=4)[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def _ours() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def described(tools: Programs, rounds: int, seconds: int, others: float) -> str:
    """Two lines: the machine, what ran on it, and the `others`' share of its cores meanwhile."""
    programs = [
        f"{name} {_version([place, option])}"
        for name, place, option in (
            ("wrk", tools.wrk, "-v"),
            ("h2load", tools.h2load, "--version"),
            ("memcached", tools.memcached, "-V"),
        )
    ]
    return (
        f"{machine()}; {rounds} rounds of {seconds} s each; "
        f"other processes took {max(0.0, others):.0%} of the cores meanwhile.\n"
        f"{', '.join([packages(), *programs])}."
    )


def machine() -> str:
    """The machine and its system."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = cpu[1] if cpu else platform.machine()
    return f"{name}, {os.cpu_count()} cores, Linux {platform.release()}"


def packages() -> str:
    """Python and the packages that count, with their versions."""
    versions = [f"{name} {version(name)}" for name in PACKAGES]
    return ", ".join([f"Python {platform.python_version()}", *versions])


def _version(command: list[str]) -> str:
    # wrk ends with 1 after it has said its version.
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    number = re.search(r"\d+(\.\d+)+", said)
    return number[0] if number else "?"
