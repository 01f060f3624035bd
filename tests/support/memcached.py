"""A real memcached for the tests: a separate process on a free loopback port, with faults."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import unquote

from tests.support.ports import free_port

DEADLINE = 10.0
"""Seconds after which a test gives up on a node."""


class Memcached:
    """One node. It can be stopped, killed, held, and started again on its port, empty."""

    def __init__(self, program: Path, *options: str) -> None:
        self.port = free_port()
        self._program = program
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    @property
    def name(self) -> str:
        """Host and port as the log writes them."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """What CACHE_URL says for this node alone."""
        return f"memcached://{self.name}"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        assert self._process is None
        # It refuses to run as root.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        # One thread serves all connections, so that what was sent first is answered first.
        where = ["-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-t", "1"]
        self._process = subprocess.Popen([self._program, *where, *user, *self._options], cwd="/")
        give_up = time.monotonic() + DEADLINE
        while True:
            try:
                self.stats()
                return
            except OSError:
                assert self._process.poll() is None, "memcached ended at once"
                assert time.monotonic() < give_up, "memcached does not answer"
                time.sleep(0.01)

    def stop(self) -> None:
        """Ask it to end and wait until it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def hold(self) -> None:
        """SIGSTOP: connections are still accepted by the system, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # The signal takes a moment to arrive; until it has, everything is still answered.
        os.waitpid(self._process.pid, os.WUNTRACED)

    def go_on(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def held(self) -> list[str]:
        """The keys that are stored now."""
        lines = self._ask(b"lru_crawler metadump all\r\n", b"END\r\n").decode().splitlines()
        quoted = (line.split()[0].removeprefix("key=") for line in lines if "key=" in line)
        return sorted(unquote(key) for key in quoted)

    def value(self, key: str) -> bytes:
        """What is stored under the key."""
        reply = self._ask(b"get %s\r\n" % key.encode(), b"END\r\n")
        head, _, rest = reply.partition(b"\r\n")
        return rest[: int(head.split()[3])]

    def put(self, key: str, value: bytes) -> None:
        """Store a value, as anybody can who reaches the node."""
        command = b"set %s 0 0 %d\r\n" % (key.encode(), len(value))
        self._ask(command + value + b"\r\n", b"STORED\r\n")

    def stats(self) -> dict[str, int]:
        """Its own counters: `cmd_get`, `get_hits`, `cmd_set`, `total_connections` and so on."""
        lines = self._ask(b"stats\r\n", b"END\r\n").decode().splitlines()
        words = [line.split() for line in lines if line.startswith("STAT")]
        return {word[1]: int(word[2]) for word in words if word[2].isdecimal()}

    def _ask(self, request: bytes, end: bytes) -> bytes:
        with socket.create_connection(self.address, timeout=DEADLINE) as connection:
            connection.sendall(request)
            reply = b""
            while not reply.endswith(end):
                part = connection.recv(65_536)
                if not part:
                    raise ConnectionError(f"memcached broke off after {reply!r}")
                reply += part
            return reply

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(DEADLINE)
        self._process = None

    def close(self) -> None:
        """End it in whatever state it is."""
        if self._process is not None:
            self.kill()


def program() -> Path | None:
    """Where memcached is, None where it is not installed."""
    found = shutil.which("memcached", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/sbin")
    return Path(found) if found else None


@contextmanager
def running(path: Path, *options: str) -> Iterator[Memcached]:
    """One node with these command line options, ended at the end."""
    node = Memcached(path, *options)
    try:
        node.start()
        yield node
    finally:
        node.close()


@contextmanager
def several(path: Path, count: int) -> Iterator[list[Memcached]]:
    """Some nodes, each with 64 MB at most."""
    with ExitStack() as stack:
        yield [stack.enter_context(running(path)) for _ in range(count)]
