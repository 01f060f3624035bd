"""The common parts of the proofs: the engine, the image, an exchange, and a place for data."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from checks.commands import CommandFailedError, Done
from checks.engine import Engine
from checks.image.context import ROOT

UID: Final = 10_001
MEMORY: Final = 512 * 1024 * 1024
PATIENCE: Final = 60.0

AS_IN_PRODUCTION: Final = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges")
TMP: Final = ("--tmpfs", "/tmp")  # noqa: S108 - the container's own; on ECS there is none

NAME: Final = "api.example.com"
"""The name under which the API answers; the checks ask it by its address."""

NOBODY_LISTENS: Final = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Rig:
    """One check's surroundings. `name` begins the name of every container and volume of it."""

    engine: Engine
    image: str
    name: str
    exchange: str

    def settings(self, **changed: str) -> dict[str, str]:
        """The settings of a container: one machine's SQLite, and the stand-in exchange."""
        usual = {
            "SINGLE_NODE": "true",
            "ALLOWED_HOSTS": NAME,
            "COLLECT_ACCESS": "off",
            "MB_API_BASE_URL": f"{self.exchange}/api/v4",
            "MB_REQUESTS_PER_SECOND": "1000",
            "COINGECKO_API_BASE_URL": f"{self.exchange}/api/v3",
            "COINGECKO_REQUESTS_PER_SECOND": "1000",
            "UPSTREAM_RETRY_SECONDS": "30",
            "INTERVALS": "1d,1h",
        }
        return {name: value for name, value in {**usual, **changed}.items() if value}

    def options(self, volume: str, settings: Mapping[str, str], *, tmp: bool = True) -> list[str]:
        """The options of `run` for a container as in production, its data in `volume`.

        Without `tmp` nothing else can be written, as in the tasks on ECS.
        """
        given = [word for item in settings.items() for word in ("--env", "=".join(item))]
        hard = [*self.engine.hard, *AS_IN_PRODUCTION, *(TMP if tmp else ())]
        return [*hard, "--volume", f"{self.name}-{volume}:/data", *given]

    def once(self, volume: str, settings: Mapping[str, str], *words: str, tmp: bool = True) -> Done:
        """Run one entry point to its end."""
        return self.engine.once(self.image, self.options(volume, settings, tmp=tmp), *words)

    @contextmanager
    def running(
        self, what: str, volume: str, settings: Mapping[str, str], *words: str, tmp: bool = True
    ) -> Iterator[str]:
        """A container that stays until the block ends; gives its name."""
        name = f"{self.name}-{what}"
        self.engine.start(name, self.image, self.options(volume, settings, tmp=tmp), *words)
        try:
            yield name
        finally:
            self.engine.remove(name)

    def stop(self, container: str) -> tuple[int, float]:
        """Stop a container as an orchestrator does; its exit code, and the seconds that took."""
        began = time.monotonic()
        self.engine.must("stop", "-t", "30", container)
        seconds = time.monotonic() - began
        return int(self.engine.inspect("container", container)["State"]["ExitCode"]), seconds

    def inside(self, container: str, *command: str) -> Done:
        """Run a program inside a container that runs."""
        return self.engine.call("exec", container, *command)

    def logs(self, container: str) -> str:
        """What the container has printed."""
        return self.engine.call("logs", container).text

    def await_status(self, port: int, path: str, status: int = 200) -> float:
        """Ask until the answer has the status; returns the seconds that took."""
        began = time.monotonic()
        while (answer := get(port, path)) != status:
            if time.monotonic() - began > PATIENCE:
                raise CommandFailedError(
                    f"{path} answered {answer}, not {status}, for {PATIENCE} s"
                )
            time.sleep(0.01)
        return time.monotonic() - began


def get(port: int, path: str, name: str = "127.0.0.1", method: str = "GET") -> int | None:
    """The status of one request on this machine under a name; None where nobody answers."""
    return ask(port, path, {"Host": name}, method)[0]


def ask(
    port: int, path: str, headers: Mapping[str, str], method: str = "GET"
) -> tuple[int | None, bytes]:
    """The status and the body of one request on this machine; None where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, headers=dict(headers))
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def exchange() -> Iterator[str]:
    """The stand-in exchange as a process of this machine; gives its address."""
    command = [sys.executable, "-m", "app.sandbox", "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().rsplit(" ", 1)[-1].strip()
        finally:
            process.terminate()
