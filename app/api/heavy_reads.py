"""Heavy reads run a few at a time, and wait for their turn in the event loop, for a second.

Work on many rows holds the interpreter, which every other request needs, too. Two such reads at a
time are no faster than one after the other, and those that wait on a thread take the threads of
light reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from app.api.context import Context
from app.api.turns import Turns
from app.core.errors import Overloaded

HEAVY_ROWS: Final = 1_000
"""A read of more rows or buckets than this is heavy."""

LONGEST_WAIT: Final = 1.0
"""Seconds that a heavy read waits for its turn. Whoever waits longer is told to come again, so the
line stays short, and no stop has to wait for it."""

RETRY_AFTER: Final = 1
"""Seconds after which a client may try again."""

CLIENT_GONE: Final = 499
"""The status in the log where nobody waits for the reply any more; nginx writes it so."""


async def read(
    context: Context, request: Request, rows: int, answer: Callable[[], Response]
) -> Response:
    """Run `answer`, which reads up to `rows` rows, on a worker thread; in its turn if heavy.

    Raises Overloaded where a heavy read has no turn in time.
    """
    if rows <= HEAVY_ROWS:
        return await run_in_threadpool(answer)
    return await read_in_turn(context.heavy_reads, request, answer)


async def read_in_turn(
    turns: Turns, request: Request, answer: Callable[[], Response], *, wait: float = LONGEST_WAIT
) -> Response:
    """Run `answer` on a worker thread in its turn, which comes within `wait` seconds.

    While it waits, it holds neither a thread nor a database connection. If its client goes
    meanwhile, it is not begun, and its place is free at once. A read that has begun holds its turn
    until its thread is done, also if this task is cancelled. Raises Overloaded.
    """
    begun = asyncio.get_running_loop().create_future()
    # In this order: a client that has already gone is noticed before its turn begins.
    gone = asyncio.create_task(_disconnected(request))
    work = asyncio.create_task(_work(turns, _client(request), gone, begun, answer))
    try:
        await asyncio.wait({begun, gone}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not begun.done():
            work.cancel()
    if begun.done():
        # A thread cannot be stopped: what cancels this task must not free the turn.
        return await asyncio.shield(work)
    if gone.done():
        return Response(status_code=CLIENT_GONE)
    raise Overloaded(
        f"Another heavy read is running, and this one had no turn within {wait:g} s: try again.",
        retry_after=RETRY_AFTER,
    )


async def _work(
    turns: Turns,
    client: str,
    gone: asyncio.Task[None],
    begun: asyncio.Future[None],
    answer: Callable[[], Response],
) -> Response:
    async with turns.turn(client):
        if gone.done():
            return Response(status_code=CLIENT_GONE)
        begun.set_result(None)
        return await run_in_threadpool(answer)


async def _disconnected(request: Request) -> None:
    """Return once the client has gone; what is left of its body is of no use."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _client(request: Request) -> str:
    """Whose turn it is: one address, or one network of IPv6."""
    key: str | None = request.scope["state"].get("client_key")
    return key or (request.client.host if request.client else "")
