"""Ports on loopback for servers that are started, stopped, and started again on the same one."""

from __future__ import annotations

import random
import socket

# Below what systems give to outgoing connections (32,768 and up on Linux, 49,152 and up elsewhere):
# one of those would sit on the port of a server that is down for a moment.
_OURS = range(20_000, 32_768)


def free_port() -> int:
    """A port that nobody listens on now."""
    for port in random.sample(_OURS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port was found")
