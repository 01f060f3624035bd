"""python -m benchmarks.reads.profile: where the CPU of a read goes, layer by layer.

The application is driven in this process, by ASGI, without a server and one read at a time. Every
thread has a profile of its own that counts CPU; what is built in counts for its caller. Profiling
makes many small calls dearer than they are: the shares show where to look, not what would be saved.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import uvloop
from asgi_lifespan import LifespanManager

from app.core import logging
from app.core.settings import Settings, load_settings
from app.main import create_app
from benchmarks.reads import data
from benchmarks.reads.servers import UNLIMITED
from tests.support.processes import ROOT

READS: Final = 2_000
COLD: Final = 50
"""Reads before the clock starts; they are in the profile."""

TOP: Final = 12

Asgi = Callable[..., Awaitable[None]]
Profiles = list[cProfile.Profile]
Function = tuple[str, int, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Profile the hot read and reads that all differ; print both tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reads.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--reads", type=int, default=READS, help="reads of each kind (%(default)s)")
    parser.add_argument("--log", choices=("on", "off"), default="off", help="the access log (off)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="mms-profile-") as name:
        loaded = data.load(Path(name))
        different = data.queries(loaded.last, 0, 2 * options.reads)
        paths = {
            "hot": [data.HOT] * (2 * options.reads),
            "different": [query.path for query in different],
        }
        for kind, listed in paths.items():
            settings = load_settings(
                None, db_url=loaded.db_url, access_log=options.log, rate_limit=UNLIMITED
            )
            plain, _ = _driven(settings, listed[: options.reads], nullcontext([]))
            # In a new loop, because threads that have begun before would have no profile.
            _, taken = _driven(settings, listed[options.reads :], profiles())
            print(report(kind, pstats.Stats(*taken), plain, options.reads))
    return 0


def _driven(
    settings: Settings, paths: Sequence[str], profiling: AbstractContextManager[Profiles]
) -> tuple[float, Profiles]:
    """Read each path once; returns the CPU per read in seconds, and the profiles."""

    async def drive() -> tuple[float, Profiles]:
        async with LifespanManager(create_app(settings)) as running:
            with profiling as taken:
                for path in paths[:COLD]:
                    await _read(running.app, path)
                begun = time.process_time()
                for path in paths[COLD:]:
                    await _read(running.app, path)
                return (time.process_time() - begun) / (len(paths) - COLD), taken

    with Path(os.devnull).open("w") as nowhere:
        logging.configure("INFO", "json", nowhere)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(drive())


@contextmanager
def profiles() -> Iterator[Profiles]:
    """Profile the CPU of this thread and of those that start meanwhile."""
    taken: Profiles = []

    def begin(*_event: object) -> None:
        sys.setprofile(None)
        profile = cProfile.Profile(time.thread_time)
        taken.append(profile)
        profile.enable()

    threading.setprofile(begin)
    begin()
    try:
        yield taken
    finally:
        taken[0].disable()
        threading.setprofile(None)


def report(kind: str, stats: pstats.Stats, plain: float, reads: int) -> str:
    """The table: the share of each layer, then the functions that take most themselves."""
    own: Counter[Function] = Counter()
    for function, (_, _, seconds, _, callers) in stats.stats.items():  # type: ignore[attr-defined] # not in its types
        if function[0] == "~" and callers:
            for caller, (_, _, part, _) in callers.items():
                own[caller] += part
        else:
            own[function] += seconds
    whole = own.total()
    layers: Counter[str] = Counter()
    for function, seconds in own.items():
        layers[layer(function[0])] += seconds
    lines = [f"{kind}: {plain * 1e6:.0f} us of CPU a read without the profile, {reads:,} reads", ""]
    lines += [f"  {part / whole:6.1%}  {name}" for name, part in layers.most_common(TOP)]
    lines += ["", "  functions by their own time"]
    lines += [f"  {part / whole:6.1%}  {_name(each)}" for each, part in own.most_common(TOP)]
    return "\n".join([*lines, ""])


def layer(path: str) -> str:
    """The package of a file: ours by its folder, another one by its name."""
    if path == "~":
        return "built in"
    file = Path(path)
    if file.is_relative_to(ROOT) and ".venv" not in file.parts:
        return "/".join(file.relative_to(ROOT).parts[:3])
    parts = file.parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    return f"python: {file.parent.name if 'asyncio' in parts else file.stem}"


def _name(function: Function) -> str:
    return f"{layer(function[0])}: {Path(function[0]).name}:{function[1]} {function[2]}"


async def _read(app: Asgi, target: str) -> None:
    path, _, query = target.partition("?")
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000")],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8_000),
    }
    await app(scope, receive, send)
    assert status == 200, f"{target}: {status}"


if __name__ == "__main__":
    sys.exit(main())
