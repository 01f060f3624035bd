"""The exit code of every entry point, where it goes well and where it does not."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from checks.commands import CommandFailedError
from checks.image.rig import NOBODY_LISTENS, PATIENCE, Rig
from checks.report import Report

AWAY: Final = {
    "MB_API_BASE_URL": f"{NOBODY_LISTENS}/api/v4",
    "COINGECKO_API_BASE_URL": f"{NOBODY_LISTENS}/api/v3",
    "UPSTREAM_RETRY_SECONDS": "1",
}
RING: Final = {"CACHE_URL": "memcached://127.0.0.1:1"}
NO_DATABASE: Final = {"DB_URL": "postgresql://mms@127.0.0.1:1/mms"}


@dataclass(frozen=True)
class Case:
    """One run: its words, what is changed in the settings, its exit code, and what it must say."""

    name: str
    words: tuple[str, ...]
    code: int
    says: str = ""
    changed: Mapping[str, str] = field(default_factory=dict)
    tmp: bool = True
    """Whether /tmp can be written; on ECS it cannot."""


# In this order, on one volume: what an earlier line leaves is what a later one finds.
CASES: Final = (
    Case("an unknown word", ("serve",), 2, "serve is no entry point"),
    Case("--help", ("--help",), 0, "initial-load"),
    Case("api --help", ("api", "--help"), 0, "--drain"),
    Case("api, unknown option", ("api", "--nonsense"), 2, "--nonsense"),
    Case("api, nothing migrated", ("api",), 2, "could not start"),
    Case("api, database away", ("api",), 2, "could not start", NO_DATABASE),
    Case("api, no name", ("api",), 2, "ALLOWED_HOSTS", {"ALLOWED_HOSTS": ""}),
    Case("api, nobody may collect", ("api",), 2, "API_KEYS", {"COLLECT_ACCESS": ""}),
    Case("incremental, ring without a secret", ("incremental",), 2, "CACHE_SECRET", RING),
    Case("keys new", ("keys", "new", "ops"), 0, "ops:read+collect:"),
    Case("migrate, SQLite on many", ("migrate",), 2, "SINGLE_NODE=true", {"SINGLE_NODE": ""}),
    Case("migrate, database away", ("migrate",), 2, "migrate:", NO_DATABASE),
    Case("initial-load, nothing migrated", ("initial-load",), 2, "could not start"),
    Case("migrate", ("migrate",), 0, "migrated to"),
    Case("migrate again", ("migrate",), 0, "already at"),
    Case("monitor, nothing loaded", ("monitor",), 1, "missing"),
    Case("initial-load, exchange away", ("initial-load",), 1, "127.0.0.1", AWAY),
    Case("initial-load, unknown pair", ("initial-load", "--pairs", "BRLXYZ"), 2, "BRLXYZ"),
    Case("initial-load", ("initial-load",), 0, "BTC"),
    Case("incremental", ("incremental",), 0, "BTC"),
    Case("reload", ("reload", "BRLBTC"), 0, "BTC"),
    Case("incremental, exchange away", ("incremental",), 1, "127.0.0.1", AWAY),
    Case("incremental, database away", ("incremental",), 2, "could not start", NO_DATABASE),
    Case("monitor", ("monitor",), 0, "complete"),
    Case("monitor, database away", ("monitor",), 2, "", NO_DATABASE),
    Case("backup", ("backup", "/data/image-check.mmsb"), 0, "rows of"),
    Case("restore, not empty", ("restore", "/data/image-check.mmsb"), 2, "is not empty"),
    Case("collect --once", ("collect", "--once"), 0, "BTC"),
    Case("collect --once, source away", ("collect", "--once"), 1, "127.0.0.1", AWAY),
    Case("collect, database away", ("collect",), 2, "could not start", NO_DATABASE),
    Case("migrate, no /tmp", ("migrate",), 0, "already at", tmp=False),
    Case("initial-load, no /tmp", ("initial-load",), 0, "BTC", tmp=False),
    Case("incremental, no /tmp", ("incremental",), 0, "BTC", tmp=False),
    Case("monitor --repair, no /tmp", ("monitor", "--repair"), 0, "complete", tmp=False),
    Case("collect --once, no /tmp", ("collect", "--once"), 0, "BTC", tmp=False),
)


def prove(rig: Rig, report: Report, volume: str) -> None:
    """Run every case on `volume`: empty at first, with a loaded database at the end."""
    for case in CASES:
        done = rig.once(volume, rig.settings(**case.changed), *case.words, tmp=case.tmp)
        outcome = f"exit {done.code}"
        silent = "" if case.says in done.text else f", without saying {case.says!r}"
        good = done.code == case.code and not silent
        report.check(
            case.name, good, outcome if good else f"{outcome}{silent}: {done.text[-2000:]}"
        )


def prove_stops(rig: Rig, report: Report) -> None:
    """Commands that stay, or take long, end within seconds when they are told to."""
    rig.once("slow", rig.settings(), "migrate")
    with rig.running("collect", "slow", rig.settings(), "collect") as container:
        _await(rig, container, lambda: "prices_collected" in rig.logs(container))
        _judge(rig, report, "collect, stopped", container, 0)
    # One request in 50 s: the load is in the middle of it for as long as anyone cares to wait.
    slow = rig.settings(INTERVALS="15m", MB_REQUESTS_PER_SECOND="0.02", UPSTREAM_RETRY_SECONDS="90")
    with rig.running("load", "slow", slow, "initial-load") as container:
        _await(rig, container, lambda: _catches_sigterm(rig, container))
        _judge(rig, report, "initial-load, stopped", container, 143)


def _judge(rig: Rig, report: Report, name: str, container: str, code: int) -> None:
    actual, seconds = rig.stop(container)
    report.check(name, actual == code and seconds < 10, f"exit {actual} after {seconds:.2f} s")


def _catches_sigterm(rig: Rig, container: str) -> bool:
    """Whether process 1 has said what SIGTERM shall do; before, the kernel drops it."""
    status = rig.inside(container, "cat", "/proc/1/status").out
    (caught,) = re.findall(r"(?m)^SigCgt:\s+(\w+)$", status) or ["0"]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def _await(rig: Rig, container: str, so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not so():
        if time.monotonic() > deadline:
            raise CommandFailedError(f"{container} did not get there: {rig.logs(container)[-600:]}")
        time.sleep(0.1)
