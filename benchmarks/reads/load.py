"""wrk and h2load as the load, on the other core, and what they say that they have counted."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.reads.servers import LOAD, place
from benchmarks.topology.load import DONE, Load, read

CONNECTIONS: Final = 32

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
    if not hasattr(os, "sched_setaffinity"):
        raise LookupError("Linux")
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
    said = _said(
        _start(
            [
                *(program, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"),
                *("-s", str(script)),
                *(f"-H{name}: {value}" for name, value in (headers or {}).items()),
                url + path,
            ]
        )
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


@dataclass(frozen=True)
class Pace:
    """Requests per second in all, over `groups` of connections that take turns.

    h2load sends on all connections of a group at the same moment, so a group is a burst.
    """

    rate: float
    group: int
    groups: int

    @property
    def interval(self) -> float:
        """Seconds between two requests on one connection: longer waits hold back the next one."""
        return self.group * self.groups / self.rate


def open_loop(program: str, url: str, seconds: int, folder: Path, pace: Pace) -> Timed:
    """Ask at a rate, however long the answers take; an h2load for each group.

    Raises Wrong where a request failed.
    """
    options = ["--h1", f"-c{pace.group}", f"-D{seconds}", f"--rps={1 / pace.interval:.3f}", url]
    logs = [folder / f"h2load-{number}.tsv" for number in range(pace.groups)]
    started = []
    for log in logs:
        log.unlink(missing_ok=True)
        started.append(_start([program, *options, f"--log-file={log}"]))
        time.sleep(pace.interval / pace.groups)
    if failed := sum(failures(_said(process)) for process in started):
        raise Wrong(f"{url}: {failed} requests of h2load failed")
    taken = [each for log in logs for each in waits(log.read_text(), pace, seconds)]
    return Timed(tuple(sorted(taken)))


def failures(said: str) -> int:
    """How many requests failed, by h2load's summary: errors, time-outs, and statuses from 400."""
    counts = {
        name: int(count) for count, name in re.findall(r"(\d+) (failed|errored|timeout)", said)
    }
    statuses = re.search(r"status codes: \d+ 2xx, \d+ 3xx, (\d+) 4xx, (\d+) 5xx", said)
    if len(counts) != 3 or statuses is None:
        raise Wrong(f"h2load says nothing that can be read: {said[-200:]!r}")
    return max(counts.values()) + sum(map(int, statuses.groups()))


def waits(log: str, pace: Pace, seconds: float) -> list[float]:
    """The milliseconds from when each request of a group was due until its reply had come.

    `log` is h2load's: of each request its start in us, status, and us until the end, by tabs. A
    connection that waits for a reply sends its next request late; that counts. A request without a
    reply counts until the end. The first request of each connection is left out: it connects.
    """
    rows = sorted([int(field) for field in line.split("\t")] for line in log.splitlines())
    if wrong := [status for _, status, _ in rows if status not in (200, 304)]:
        raise Wrong(f"h2load logs {len(wrong)} requests with status {wrong[0]}")
    taken = []
    for number in range(pace.group, int(round(seconds / pace.interval, 6)) * pace.group):
        due = number // pace.group * pace.interval * 1e3
        if number < len(rows):
            start, _, lasted = rows[number]
            end = (start - rows[0][0] + lasted) / 1e3
            taken.append(max(end - due, lasted / 1e3))
        else:
            taken.append(seconds * 1e3 - due)
    return taken


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    place(process.pid, LOAD)
    return process


def _said(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate()
    if process.returncode:
        raise Wrong(f"{process.args!r} ends with {process.returncode}: {said[-300:]}")
    return said
