"""The project itself: its files, and what its Makefile would do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import absent
from tests.support.processes import ROOT


def files() -> list[Path]:
    """Every file that git tracks or would, below the project's folder."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        absent("git", "this copy of the project has no history to look into")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def make(*arguments: str) -> str:
    """What make prints."""
    if shutil.which("make") is None:
        absent("make", "GNU make is not installed")
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
