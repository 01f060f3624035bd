"""What all measurements share: the server that is attacked, its memory, and figures."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.edge.reader import Readers, Tally
from benchmarks.reads.data import HOT, Data
from benchmarks.reads.servers import Server, service

_CLEAR: Final = "5"  # proc_pid_clear_refs(5): the highest mark starts anew
DEFAULTS: Final = {"RATE_LIMIT": "600/minute", "MAX_CONNECTIONS_PER_CLIENT": "64"}
"""Defaults that servers of other benchmarks have not."""


@dataclass(frozen=True)
class Figure:
    """One figure, in words; `limit` is empty where none is set."""

    what: str
    value: str
    limit: str = ""
    held: bool = True


def at_most(what: str, value: float, most: float, unit: str) -> Figure:
    """A figure that must not be above `most`."""
    digits = f"{value:.3g}" if value < 1_000 else f"{value:,.0f}"
    return Figure(what, f"{digits} {unit}", f"≤ {most:g} {unit}", value <= most)


def exactly(what: str, value: object, right: object) -> Figure:
    """A figure that must be this one."""
    return Figure(what, str(value), str(right), value == right)


def told(what: str, value: str) -> Figure:
    """A figure without a limit."""
    return Figure(what, value)


@dataclass(frozen=True)
class Bench:
    """The code that is attacked, a database of its own, and how long each attack is."""

    root: Path
    folder: Path
    data: Data
    quick: bool

    def serve(
        self, name: str, *, options: Sequence[str] = (), **settings: str
    ) -> AbstractContextManager[Server]:
        """A server with this code, this data, and every default but these settings."""
        mine = {"INTERVALS": "1d,1m", **DEFAULTS, **settings}
        url = f"sqlite:///{self.folder / 'mms.db'}"
        return service(
            name, self.folder, self.root, logged=False, options=options, DB_URL=url, **mine
        )

    @classmethod
    def of(cls, root: Path, folder: Path, data: Data, *, quick: bool) -> Bench:
        """A bench with a copy of the data: another version of the code may migrate it."""
        folder.mkdir()
        for path in data.path.parent.glob(f"{data.path.name}*"):
            shutil.copy(path, folder)
        return cls(root, folder, data, quick)


def port_of(server: Server) -> int:
    """The port of a server."""
    return urlsplit(server.url).port or 0


def mark_memory(server: Server) -> float:
    """Begin to watch the memory of a server; returns what it has now, in MB."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text(_CLEAR)
    return memory(server)


def most_memory(server: Server) -> float:
    """The most memory that it had since the mark, in MB."""
    return memory(server, "VmHWM")


def memory(server: Server, name: str = "VmRSS") -> float:
    """The memory of a server's process in MB."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def open_files(server: Server) -> int:
    """How many files and connections the process has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def readers_for(server: Server, seconds: float, path: str = HOT) -> Tally:
    """Ordinary readers for a while."""
    readers = Readers(port_of(server), path)
    time.sleep(seconds)
    return readers.end()


def doubled(what: str, alone: Sequence[Tally], beside: Sequence[Tally]) -> Figure:
    """The p99 of readers beside an attack, by that alone: the median of the rounds' ratios."""
    ratios = [with_.p99() / without.p99() for without, with_ in zip(alone, beside, strict=True)]
    return at_most(what, statistics.median(ratios), 2.0, "×")


def said(server: Server) -> str:
    """The events of a server's log, and how often each came."""
    events = Counter(
        event
        for line in server.log.read_text("utf-8", "replace").splitlines()
        if (event := _event(line)) != "server_ready"
    )
    return ", ".join(f"{event} {count:,}" for event, count in events.most_common(4)) or "nothing"


def _event(line: str) -> str:
    try:
        return str(json.loads(line)["event"])
    except (ValueError, KeyError, TypeError):
        return "other lines"
