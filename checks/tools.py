"""Programs that a check needs: which are missing, how to get them, and their installation."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from checks import commands
from checks.report import CannotCheckError

# Debian's package, where it is not called like its program.
PACKAGES = {"ip": "iproute2", "soffice": "libreoffice-calc", "unshare": "util-linux"}

# Programs of podman that are not on the PATH.
HELPERS = Path("/usr/lib/podman")


def missing(programs: Iterable[str]) -> list[str]:
    """Those of the programs that are neither on the PATH nor among podman's helpers."""
    places = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}{HELPERS}"
    return [name for name in programs if shutil.which(name, path=places) is None]


def need(programs: Iterable[str], *, install: bool) -> None:
    """Make sure that the programs are there; with `install`, by apt-get.

    Raises CannotCheckError with the line to type where they are not.
    """
    absent = missing(programs)
    if not absent:
        return
    packages = sorted({PACKAGES.get(name, name) for name in absent})
    line = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if not install:
        raise CannotCheckError(
            f"{', '.join(absent)} not found. Install: {line}\n"
            'or let the check do it, as root on Debian or Ubuntu: ARGS="--install"'
        )
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    commands.must([*apt, "update"], environment=quiet, timeout=300.0)
    commands.must(
        [*apt, "install", "-y", "--no-install-recommends", *packages],
        environment=quiet,
        timeout=900.0,
    )
    if still := missing(programs):
        raise CannotCheckError(f"{', '.join(still)} still not found after: {line}")


def need_root() -> None:
    """Raise CannotCheckError where this is not root: limits on memory need it."""
    if os.geteuid() != 0:
        raise CannotCheckError("without Docker this check has to be run as root (podman's limits)")
