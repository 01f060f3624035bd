"""A SQLite file that another program has locked, and one whose disk is full."""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.core.market import Interval
from app.db.session import open_engine
from benchmarks.reliability import rig
from benchmarks.reliability.content import content, disagreements
from benchmarks.reliability.figures import Figure, Step, figure, no_step, spread
from benchmarks.reliability.reads import readers

MINUTE: Final = Interval.MINUTE
DAY: Final = Interval.DAY
DAYS: Final = 30
MOMENTS: Final = ("before it begins", "while it loads")
READ_WITHIN: Final = 1.0
KIB: Final = 1024
SMALLEST: Final = 64 * KIB
A_DAY: Final = 100 * KIB
"""Too small for the tables, and what a day of minutes needs and a little less."""
MIB: Final = 1024 * KIB
PAGE: Final = 4_096


@dataclass
class Tally:
    """What became of the loads and the reads."""

    codes: Counter[int] = field(default_factory=Counter)
    reads: list[float] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def exits(self) -> str:
        """The exit codes, in words."""
        return ", ".join(f"exit {code} x {count}" for code, count in sorted(self.codes.items()))


def locked(
    where: rig.Where, runs: int = 4, step: Step = no_step, *, moments: Sequence[str] = MOMENTS
) -> list[Figure]:
    """Lock the file for longer than a loader waits, before and during a load, in turn."""
    tally = Tally()
    with rig.exchange() as (stage, base_url), rig.database(where) as db:
        assert _loader(db, base_url, DAY, 365)[0] == 0
        whole = content(db.engine, rig.BTC, DAY).hash
        with rig.api(db.folder, DB_URL=db.url) as server:
            for number in range(runs):
                db.empty()
                moment = moments[number % len(moments)]
                with readers(server, ["/BRLBTC/mms?range=20"], 1) as reads:
                    code, out, said = _load_locked(db, stage, base_url, moment)
                tally.codes[code] += 1
                tally.reads += [read.seconds for read in reads]
                tally.troubles += [f"a read: {r.status}" for r in reads if r.status != 200]
                if code != 1 or "database is locked" not in out or "Traceback" in said:
                    tally.troubles.append(f"{moment}: exit {code}: {(out + said)[-300:]}")
                if content(db.engine, rig.BTC, DAY).rows:
                    tally.troubles.append(f"{moment}: something was written")
                db.wait_two_minutes()
                if (
                    _loader(db, base_url, DAY, 365)[0]
                    or content(db.engine, rig.BTC, DAY).hash != whole
                ):
                    tally.troubles.append(f"{moment}: the next load does not make it good")
                step()
    slow = [seconds for seconds in tally.reads if seconds > READ_WITHIN]
    tally.troubles += [f"a read took {seconds:.2f} s" for seconds in slow]
    return [
        figure(
            "SQLite locked by another program: the loader exits 1 with a clear line, reads go on",
            where.kind,
            runs,
            f"{tally.exits}; {len(tally.reads):,} reads, {spread(tally.reads)}",
            tally.troubles,
        )
    ]


def _load_locked(
    db: rig.Database, stage: rig.Stage, base_url: str, moment: str
) -> tuple[int, str, str]:
    file = db.url.removeprefix("sqlite:///")
    stage.asked.clear()
    with closing(sqlite3.connect(file, isolation_level=None)) as foreign:
        if moment == MOMENTS[0]:
            foreign.execute("BEGIN IMMEDIATE")
            return _loader(db, base_url, DAY, 365)
        stage.open.clear()
        process = rig.start_loader(db, base_url, DAY, 365)
        with rig.processes([process]):
            assert stage.asked.wait(60), "the loader asks for nothing"
            foreign.execute("BEGIN IMMEDIATE")
            stage.open.set()
            return rig.end(process)


@dataclass(frozen=True)
class Room:
    """A folder with little room: `bounds` is what a loader must be told of it, `grow` makes more."""

    folder: Path
    bounds: tuple[str, ...]
    grow: Callable[[], None]


Space = Callable[[int], AbstractContextManager[Room]]
"""Room for so many bytes. Entering it raises LookupError where this machine has no such thing."""


@contextmanager
def mounted(size: int) -> Iterator[Room]:
    """A file system of its own."""
    with tempfile.TemporaryDirectory(prefix="mms-reliability-") as folder:
        _mount(["-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder])
        try:
            yield Room(Path(folder), (), lambda: _mount(["-o", f"remount,size={64 * MIB}", folder]))
        finally:
            subprocess.run(["umount", folder], check=True)


@contextmanager
def paged(size: int) -> Iterator[Room]:
    """A folder in which SQLite allows its file no more pages, which needs no rights."""
    with tempfile.TemporaryDirectory(prefix="mms-reliability-") as folder:
        yield Room(Path(folder), (f"--most-pages={size // PAGE}",), lambda: None)


def _mount(arguments: list[str]) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LookupError("the program mount is not installed") from error
    if done.returncode:
        raise LookupError(f"a small file system cannot be mounted: {done.stderr.strip()}")


def full(
    where: rig.Where,
    runs: int = 8,
    step: Step = no_step,
    *,
    days: int = DAYS,
    space: Space = mounted,
) -> list[Figure]:
    """Load onto disks of different sizes, all too small; then make room and load on."""
    tally = Tally()
    with rig.exchange() as (_, base_url), rig.database(where) as roomy:
        assert _loader(roomy, base_url, MINUTE, days)[0] == 0
        whole = content(roomy.engine, rig.BTC, MINUTE)
        for number in range(runs):
            share = number / (runs - 1) if runs > 1 else 1.0
            size = round(SMALLEST * (days * A_DAY / SMALLEST) ** share)
            with space(size) as room:
                tally.troubles += [
                    f"{size >> 10} KiB: {text}"
                    for text in _fill(room, base_url, days, whole.hash, tally)
                ]
            step()
    return [
        figure(
            "disk full: the loader says so and exits 1 (2 where it could not start), the file is whole",
            where.kind,
            runs,
            f"{tally.exits}; with room again, hash as of a load with room from the start",
            tally.troubles,
        )
    ]


def _fill(room: Room, base_url: str, days: int, whole: str, tally: Tally) -> list[str]:
    file = room.folder / "mms.db"
    url = f"sqlite:///{file}"
    engine = open_engine(url)
    db = rig.Database("sqlite", url, room.folder, engine)
    troubles = []
    try:
        code, out, said = _loader(db, base_url, MINUTE, days, *room.bounds)
        tally.codes[code] += 1
        if (
            code not in (1, 2)
            or "disk is full" not in out + said
            or "make room" not in out + said
            or "Traceback" in said
        ):
            troubles.append(f"exit {code}: {(out + said)[-300:]}")
        if code == 1:  # there are tables, and they can be read
            troubles += disagreements(content(engine, rig.BTC, MINUTE), MINUTE.seconds)
        room.grow()
        with closing(sqlite3.connect(file)) as connection:
            (state,) = connection.execute("PRAGMA integrity_check").fetchone()
        if state != "ok":
            troubles.append(f"the file is damaged: {state}")
        if code == 1:
            db.wait_two_minutes()
        code, out, said = _loader(db, base_url, MINUTE, days)
        if code != 0 or content(engine, rig.BTC, MINUTE).hash != whole:
            troubles.append(f"with room again: exit {code}: {(out + said)[-300:]}")
    finally:
        engine.dispose()
    return troubles


def _loader(
    db: rig.Database, base_url: str, interval: Interval, days: int, *bounds: str
) -> tuple[int, str, str]:
    process = rig.start_loader(db, base_url, interval, days, *bounds)
    with rig.processes([process]):
        return rig.end(process)
