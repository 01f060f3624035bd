"""The API as a process of its own, whose clock stands where standard input sets it. Run as a program.

Standard output says `ready URL`, then `set` for each line with unix seconds that came in. Settings come
from the environment, as everywhere.
"""

from __future__ import annotations

import sys
import threading

from app import bootstrap
from app.core.logging import configure
from app.core.settings import load_settings
from app.serve import run


def main() -> int:
    """Serve until SIGTERM."""
    now = [float(sys.stdin.readline())]

    def follow() -> None:
        for line in sys.stdin:
            now[0] = float(line)
            say("set")

    settings = load_settings()
    configure(settings.log_level, settings.log_format)
    threading.Thread(target=follow, name="clock", daemon=True).start()
    return run(
        settings,
        build=lambda chosen: bootstrap.build(chosen, lambda: now[0]),
        on_ready=lambda url: say(f"ready {url}"),
    )


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
