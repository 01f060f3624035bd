"""How big the image is, and how soon a container of it answers."""

from __future__ import annotations

import statistics
import time
import zlib
from pathlib import Path
from typing import Final

from checks.engine import Engine
from checks.image.rig import Rig, free_port
from checks.report import Report

OWN_MEGABYTES: Final = 200
"""What we put on top of the base may weigh at most."""

START_SECONDS: Final = 10.0
"""From `run` to the first 200 of /readyz; ten times what a quiet machine needs."""

STARTS: Final = 5


def size(engine: Engine, image: str, base: str, archive: Path, report: Report) -> None:
    """Print what the image weighs, unpacked and packed."""
    whole = engine.inspect("image", image)["Size"] / 1e6
    below = engine.inspect("image", base)["Size"] / 1e6
    own = whole - below
    figure = f"{whole:.0f} MB, of which the base {below:.0f} MB and ours {own:.0f} MB"
    report.check("image size", 0 < own < OWN_MEGABYTES, figure)
    report.note(f"packed, as a registry sends it: {_packed(archive) / 1e6:.0f} MB (zlib, level 6)")


def start(rig: Rig, report: Report, volume: str) -> None:
    """Print how long a start takes, with the byte code that the image brings and without it."""
    empty = statistics.median(_bare(rig) for _ in range(STARTS))
    with_code = [_started(rig, volume, number, {}) for number in range(STARTS)]
    # Python then looks for byte code elsewhere, finds none, and compiles, as it would without.
    elsewhere = {"PYTHONPYCACHEPREFIX": "/nowhere"}
    without = [_started(rig, volume, number, elsewhere) for number in range(3)]
    median = statistics.median(with_code)
    report.check(
        "run to first 200 of /readyz",
        median < START_SECONDS,
        f"median {median:.2f} s, slowest {max(with_code):.2f} s of {STARTS}; "
        f"the engine alone takes {empty:.2f} s",
    )
    slower = statistics.median(without)
    report.check(
        "the same without byte code", slower > median, f"median {slower:.2f} s of {len(without)}"
    )


def _started(rig: Rig, volume: str, number: int, more: dict[str, str]) -> float:
    port = free_port()
    began = time.monotonic()
    with rig.running(f"start{number}", volume, {**rig.settings(PORT=str(port)), **more}):
        rig.await_status(port, "/readyz")
        return time.monotonic() - began


def _bare(rig: Rig) -> float:
    """How long the engine takes for a container that does nothing."""
    began = time.monotonic()
    rig.engine.once(rig.image, [*rig.options("unused", {}), "--entrypoint", "true"])
    return time.monotonic() - began


def _packed(archive: Path) -> int:
    packer, total = zlib.compressobj(6), 0
    with archive.open("rb") as file:
        while part := file.read(1 << 20):
            total += len(packer.compress(part))
    return total + len(packer.flush())
