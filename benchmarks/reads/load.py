"""wrk and h2load as the load, on the other core, and what they say that they have counted."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.reads.servers import LOAD, place
from benchmarks.topology.load import DONE, Load, read

CONNECTIONS: Final = 32

SENT: Final = 0.95
"""The part of the requests at a rate that h2load sends where nothing delays it, rounding aside."""

_PATHS: Final = """
local paths = {}
function init()
    for path in io.lines("%s") do paths[#paths + 1] = path end
end
local at = 0
function request()
    at = at + 1
    return wrk.format("GET", paths[at])
end
"""


class Wrong(Exception):
    """An answer that is not the right one, or none."""


@dataclass(frozen=True)
class Programs:
    """Where the programs are."""

    wrk: str
    h2load: str
    memcached: str


def programs() -> Programs:
    """Find them. Raises LookupError, which names those that are missing."""
    path = f"{os.environ.get('PATH', '')}:/usr/bin:/usr/sbin"
    places = {name: shutil.which(name, path=path) for name in ("wrk", "h2load", "memcached")}
    if missing := [name for name, place in places.items() if place is None]:
        raise LookupError(" ".join(missing))
    return Programs(**{name: str(place) for name, place in places.items()})


def closed_loop(
    program: str,
    url: str,
    seconds: int,
    folder: Path,
    *,
    path: str = "/",
    paths: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    connections: int = CONNECTIONS,
) -> Load:
    """Ask as fast as the server answers: `path` again and again, or each of `paths` once.

    Raises Wrong where a request failed, or where the paths did not suffice.
    """
    script = folder / "wrk.lua"
    text = DONE
    if paths:
        listed = folder / "paths.txt"
        listed.write_text("\n".join(paths))
        text = _PATHS % listed + text
    script.write_text(text)
    said = _run(
        [
            *(program, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"),
            *("-s", str(script)),
            *(f"-H{name}: {value}" for name, value in (headers or {}).items()),
            url + path,
        ]
    )
    counted = read(said)
    if counted.failed:
        raise Wrong(f"{url}{path}: {counted.failed} of {counted.requests} requests failed")
    if paths and counted.requests + connections > len(paths):
        raise Wrong(f"{url}: {len(paths)} different requests do not suffice for {seconds} s")
    return counted


@dataclass(frozen=True)
class Timed:
    """What h2load has timed: milliseconds of each request, ascending."""

    milliseconds: tuple[float, ...]

    def p99(self) -> float:
        """The 99th percentile by nearest rank."""
        return self.milliseconds[math.ceil(0.99 * len(self.milliseconds)) - 1]


def open_loop(
    program: str, url: str, seconds: int, folder: Path, rate: float, connections: int
) -> Timed:
    """Ask at `rate` requests a second, however long the answers take.

    A request that was not even sent in time counts as one that lasted from begin to end: h2load
    asks one at a time on a connection. Raises Wrong where a request failed.
    """
    log = folder / "h2load.tsv"
    log.unlink(missing_ok=True)
    pace = ["--h1", f"-c{connections}", f"-D{seconds}", f"--rps={rate / connections:.3f}"]
    said = _run([program, *pace, f"--log-file={log}", url])
    failed = failures(said)
    timed = timings(log.read_text(), connections)
    if failed:
        raise Wrong(f"{url}: {failed} requests of h2load failed")
    unsent = max(0, int(SENT * rate * seconds) - connections - len(timed.milliseconds))
    return Timed((*timed.milliseconds, *[seconds * 1e3] * unsent))


def failures(said: str) -> int:
    """How many requests failed, by h2load's summary: errors, time-outs, and statuses from 400."""
    counts = {
        name: int(count) for count, name in re.findall(r"(\d+) (failed|errored|timeout)", said)
    }
    statuses = re.search(r"status codes: \d+ 2xx, \d+ 3xx, (\d+) 4xx, (\d+) 5xx", said)
    if len(counts) != 3 or statuses is None:
        raise Wrong(f"h2load says nothing that can be read: {said[-200:]!r}")
    return max(counts.values()) + sum(map(int, statuses.groups()))


def timings(log: str, connections: int) -> Timed:
    """The times in h2load's log: start in us since 1970, status, us until the end, by tabs.

    The first request of each of the connections is left out: those come all at once.
    """
    rows = sorted(line.split("\t") for line in log.splitlines())
    if wrong := [row for row in rows if row[1] not in ("200", "304")]:
        raise Wrong(f"h2load logs {len(wrong)} requests with status {wrong[0][1]}")
    if len(rows) <= connections:
        raise Wrong(f"h2load has logged {len(rows)} requests")
    return Timed(tuple(sorted(int(row[2]) / 1e3 for row in rows[connections:])))


def _run(command: Sequence[str]) -> str:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    place(process.pid, LOAD)
    said, _ = process.communicate()
    if process.returncode:
        raise Wrong(f"{command[0]} ends with {process.returncode}: {said[-300:]}")
    return said
