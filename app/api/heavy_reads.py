"""Heavy reads run one at a time, and wait for their turn in the event loop.

Work on many rows holds the interpreter, which every other request needs, too. Two such reads at a
time are no faster than one after the other, and those that wait on a thread take the threads of
light reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from app.api.context import Context

HEAVY_ROWS: Final = 1_000
"""A read of more rows or buckets than this is heavy."""

CLIENT_GONE: Final = 499
"""The status in the log where nobody waits for the reply any more; nginx writes it so."""


async def read(
    context: Context, request: Request, rows: int, answer: Callable[[], Response]
) -> Response:
    """Run `answer`, which reads up to `rows` rows, on a worker thread; in its turn if heavy.

    While it waits, it holds neither a thread nor a database connection. If its client goes
    meanwhile, it is not begun: others wait for that turn.
    """
    if rows <= HEAVY_ROWS:
        return await run_in_threadpool(answer)
    async with context.heavy_reads:
        if await request.is_disconnected():
            return Response(status_code=CLIENT_GONE)
        return await run_in_threadpool(answer)
