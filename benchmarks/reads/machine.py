"""The machine and the versions that a result is from."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.reads.load import Programs

PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "fastapi", "sqlalchemy", "pymemcache")


def described(tools: Programs, rounds: int, seconds: int) -> str:
    """Two lines: the machine, and what ran on it."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    machine = f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores"
    programs = [
        f"{name} {_version([place, option])}"
        for name, place, option in (
            ("wrk", tools.wrk, "-v"),
            ("h2load", tools.h2load, "--version"),
            ("memcached", tools.memcached, "-V"),
        )
    ]
    packages = [f"{name} {version(name)}" for name in PACKAGES]
    return (
        f"{machine}, Linux {platform.release()}; {rounds} rounds of {seconds} s each.\n"
        f"Python {platform.python_version()}, {', '.join([*packages, *programs])}."
    )


def _version(command: list[str]) -> str:
    # wrk ends with 1 after it has said its version.
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    number = re.search(r"\d+(\.\d+)+", said)
    return number[0] if number else "?"
