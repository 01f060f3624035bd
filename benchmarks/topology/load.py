"""wrk as the load beside the drill: eight connections, at a pace that the machine can bear."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONNECTIONS: Final = 8
PAUSE_MS: Final = 10
"""Milliseconds that each connection waits between two requests."""

LONGEST: Final = 3_600

_SCRIPT: Final = """\
local paths = {{ {paths} }}
local at = 0
function request()
    at = at + 1
    return wrk.format("GET", paths[at % #paths + 1])
end
function delay() return {pause} end
"""

DONE: Final = """\
function done(summary, latency)
    local e = summary.errors
    io.write(string.format(
        '\\n{"requests":%d,"failed":%d,"refused":%d,"seconds":%.3f,"p50_ms":%.3f,' ..
        '"p99_ms":%.3f,"bytes":%d}\\n',
        summary.requests, e.connect + e.read + e.write + e.timeout + e.status, e.status,
        summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        summary.bytes))
end
"""
"""The end of a wrk script: it writes what `read` reads."""


@dataclass(frozen=True)
class Load:
    """What wrk has counted: requests, those that failed in any way, and how long it ran.

    `refused` is how many of these had a status from 400. `bytes` are those of the replies, heads
    included.
    """

    requests: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    bytes: int
    refused: int = 0


def read(out: str) -> Load:
    """What the script's last line says. Raises ValueError where it is another one."""
    return Load(**json.loads(out.splitlines()[-1]))


class Wrk:
    """A running wrk; `end` stops it and returns what it counted."""

    def __init__(self, program: str, url: str, paths: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mms-wrk-")
        script = Path(self._folder.name) / "load.lua"
        listed = ", ".join(json.dumps(path) for path in paths)
        script.write_text(_SCRIPT.format(paths=listed, pause=PAUSE_MS) + DONE)
        pace = ["-t", "1", "-c", str(CONNECTIONS), "-d", f"{LONGEST}s", "--timeout", "30s"]
        self._process = subprocess.Popen(
            [program, *pace, "-s", str(script), url], stdout=subprocess.PIPE, text=True
        )

    def end(self) -> Load:
        """Stop it, and let it say what it has counted."""
        self._process.send_signal(signal.SIGINT)
        out, _ = self._process.communicate(timeout=30)
        self._folder.cleanup()
        return read(out)

    def close(self) -> None:
        """End it in whatever state it is."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()
