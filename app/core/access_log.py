"""The line of each request, without the price of a line of structlog; and request ids.

The line is the one that `structlog.get_logger().info("http_request", …)` writes, byte for byte.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from app.core import logging
from app.core.logging import structlog

log = structlog.get_logger()

_RANDOM_BYTES: Final = 4_096


class AccessLog:
    """Writes one line per request, in the form and from the level that `configure` chose last.

    `clock` gives nanoseconds of Unix time. Lines wait for the end of the event loop's turn; use one
    AccessLog on one thread.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._second = -1
        self._start = ""

    def write(
        self,
        request_id: str,
        method: str,
        path: str,
        query: str,
        status: int,
        duration_ms: float,
        size: int,
        client: str | None,
        key: str = "",
    ) -> None:
        """Write the line of one request, or lose it where the stream fails.

        `size` is in bytes; `key` is the id of the API key, if the request needed one.
        """
        output = logging.output()
        if output is None or (output.informs and not output.json):
            bound = structlog.contextvars.bound_contextvars(request_id=request_id)
            with suppress(OSError, ValueError), bound:
                log.info(
                    "http_request",
                    method=method,
                    path=path,
                    query=query,
                    status=status,
                    duration_ms=duration_ms,
                    bytes=size,
                    client=client,
                    **({"key": key} if key else {}),
                )
        elif output.informs:
            second, nanosecond = divmod(self._clock(), 1_000_000_000)
            if second != self._second:
                self._second = second
                moment = datetime.fromtimestamp(second, UTC).replace(tzinfo=None)
                self._start = f'{{"timestamp": "{moment.isoformat()}'
            microsecond = nanosecond // 1_000
            # isoformat() leaves a whole second without places.
            places = f".{microsecond:06}" if microsecond else ""
            held = f'"key": {quoted(key)}, ' if key else ""
            output.write_soon(
                f'{self._start}{places}Z", "level": "info", "event": "http_request", '
                f'"method": {quoted(method)}, "path": {quoted(path)}, "query": {quoted(query)}, '
                f'"status": {status}, "duration_ms": {duration_ms!r}, "bytes": {size}, '
                f'"client": {"null" if client is None else quoted(client)}, '
                f'{held}"request_id": {quoted(request_id)}}}\n'
            )


def request_ids() -> Iterator[str]:
    """Random ids of 16 hexadecimal digits, for one thread.

    One system call makes many. A forked process would repeat its parent's; ours are spawned.
    """
    while True:
        yield from os.urandom(_RANDOM_BYTES).hex(" ", 8).split(" ")
