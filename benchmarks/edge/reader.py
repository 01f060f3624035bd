"""python -m benchmarks.edge.reader: ordinary readers, in a process of their own.

Each connection has an address of its own, as each client has. The readers run until standard input
ends, then write what they have seen as one line of JSON (`Tally`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from benchmarks.reads.servers import LOAD, PATIENCE, place
from tests.support.processes import ROOT

CONNECTIONS: Final = 16
RATE: Final = 8.0
"""Requests per second of each connection: below the default RATE_LIMIT of 10."""

_LAST: Final = 0.5
"""Seconds in which the last requests get their replies."""


@dataclass
class Tally:
    """What readers have seen: milliseconds of each request from when it was due, and failures.

    `lost` are requests on a kept connection that ended before the whole reply; `cut` the same on a
    new one; `refused` connections that could not be made; `unanswered` requests that were still
    without a reply at the end, whose time counts until then.
    """

    waits: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    cut: int = 0
    refused: int = 0
    unanswered: int = 0

    def failed(self) -> int:
        """Requests without a good reply."""
        bad = sum(count for status, count in self.statuses.items() if status != "200")
        return self.lost + self.cut + self.refused + self.unanswered + bad

    def p99(self) -> float:
        """The 99th percentile by nearest rank, in ms."""
        return sorted(self.waits)[math.ceil(0.99 * len(self.waits)) - 1]


class Readers:
    """A running process of readers."""

    def __init__(
        self,
        port: int,
        path: str,
        *,
        connections: int = CONNECTIONS,
        rate: float = RATE,
        anew: bool = False,
        address: str = "",
    ) -> None:
        options = [f"--connections={connections}", f"--rate={rate}", f"--address={address}"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.edge.reader", str(port), path, *options]
            + ["--anew"] * anew,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        place(self._process.pid, LOAD)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def end(self) -> Tally:
        """What they have seen."""
        said, _ = self._process.communicate("", timeout=PATIENCE)
        return Tally(**json.loads(said))


async def _read(
    number: int, options: argparse.Namespace, ends: asyncio.Event, tally: Tally
) -> None:
    """One connection: a request whenever one is due, or always where no rate is given."""
    clock = asyncio.get_running_loop().time
    pause = 1 / options.rate if options.rate else 0.0
    address = options.address or f"127.0.2.{number + 1}"
    close = "Connection: close\r\n" * options.anew
    sent = f"GET {options.path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n".encode()
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    due = clock() + pause * number / options.connections
    while not ends.is_set():
        await asyncio.sleep(due - clock())
        begun = due if pause else clock()
        kept = streams is not None
        try:
            if streams is None:
                streams = await asyncio.open_connection(
                    "127.0.0.1", options.port, local_addr=(address, 0)
                )
            reader, writer = streams
            writer.write(sent)
            status, closes = await _reply(reader)
            tally.statuses[status] = tally.statuses.get(status, 0) + 1
            if closes:
                writer.close()
                streams = None
        except ConnectionRefusedError:
            tally.refused += 1
            if not pause:
                return  # the server has ended
        except (OSError, EOFError):
            tally.lost += kept
            tally.cut += not kept
            streams = None
        except asyncio.CancelledError:
            tally.unanswered += 1
            tally.waits.append((clock() - begun) * 1e3)
            raise
        tally.waits.append((clock() - begun) * 1e3)
        due += pause


async def _reply(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """The status of the next reply, and whether the connection ends with it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    fields = dict(line.split(": ", 1) for line in head[1:-2])
    await reader.readexactly(int(fields["content-length"]))
    return head[0].split()[1], fields.get("connection") == "close"


async def _all(options: argparse.Namespace) -> Tally:
    ends = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ends.set)
    tally = Tally()
    running = [
        asyncio.create_task(_read(number, options, ends, tally))
        for number in range(options.connections)
    ]
    print("ready", flush=True)
    await ends.wait()
    _, late = await asyncio.wait(running, timeout=_LAST)
    for each in late:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return tally


def main(argv: Sequence[str] | None = None) -> int:
    """Read until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge.reader", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--rate", type=float, default=RATE, help="of each; 0: as fast as it goes")
    parser.add_argument("--address", default="", help="one address for all of them")
    parser.add_argument("--anew", action="store_true", help="a connection for each request")
    print(json.dumps(asdict(asyncio.run(_all(parser.parse_args(argv))))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
