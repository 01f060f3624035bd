"""A container's stand-in: the image's own entry point as a process of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_KEPT: Final = 2_000


class Program:
    """A running container; what it says on either stream is kept, as a log driver would."""

    def __init__(self, image: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(image / "infra" / "image" / "entrypoint.sh"), *command],
            cwd=image,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                del self.lines[:-_KEPT]

    @property
    def exit_code(self) -> int | None:
        """None while it runs; a signal counts as a shell would count it."""
        code = self._process.poll()
        return None if code is None else code if code >= 0 else 128 - code

    def wait(self) -> int:
        """Wait for its end and for its last line."""
        self._process.wait()
        self._reader.join(10.0)
        code = self.exit_code
        assert code is not None
        return code

    def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL once its stopTimeout is over."""
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
