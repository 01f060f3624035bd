"""Ask the API of this container whether it is well: exit 0 when it answers 200, else 1.

`python -I -S healthcheck.py [PATH]`, by default /healthz. It runs every few seconds for as long as
the container lives, so it imports no more than a socket (30 ms less than urllib) and nothing of the
application.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence

SECONDS = 3.0
"""How long each step of the question may take."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Ask once; the exit code is the answer."""
    path = arguments[0] if arguments else "/healthz"
    port = int(environment.get("PORT") or 8000)
    host = here(environment.get("HOST") or "")
    try:
        status = ask(port, path, host)
    except OSError as error:
        sys.stderr.write(f"port {port} of {host} does not answer: {error}\n")
        return 1
    sys.stdout.write(f"{path} {status}\n")
    return 0 if status == 200 else 1


def here(hosts: str) -> str:
    """An address at which one listens who listens on `hosts`, the setting HOST."""
    first = hosts.partition(",")[0].strip().strip("[]")
    every = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound
    return every.get(first, first)


def ask(port: int, path: str, host: str = "127.0.0.1") -> int:
    """The status of a GET of `path` at `host` and `port`. Raises OSError where none came."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, port), SECONDS) as connection:
        connection.sendall(request.encode("ascii"))
        head = b""
        while b"\r\n" not in head:
            part = connection.recv(256)
            if not part:
                raise ConnectionError("the connection was closed without a reply")
            head += part
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ConnectionError("what answers does not speak HTTP")
    return int(rest[:3])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
