"""GET /stream: what is new, as it is committed, by whichever process."""

from __future__ import annotations

import json
from typing import Final

from fastapi import APIRouter, Request, Response

from app.api.documented import HEADERS, problems
from app.api.models import PRICE_EXAMPLE
from app.api.negotiation import EventsOnly
from app.api.parameters import ContextDep, NoParameters
from app.api.streams import StreamReply
from app.core.errors import Overloaded, StoreUnavailable

router = APIRouter(tags=["Stream"], dependencies=[EventsOnly])

_EXAMPLE: Final = (
    "id: 1794886361300140032-811\nretry: 3000\n\n"
    f"event: price\ndata: {json.dumps(PRICE_EXAMPLE)}\nid: 1794886361300140032-812\n\n"
)


class _Events(Response):
    # For the document. FastAPI itself would put three tasks and a queue before each listener, where
    # the response class is its own.
    media_type = "text/event-stream"


@router.get(
    "/stream",
    operation_id="getStream",
    summary="What is new, as server-sent events",
    response_class=_Events,
    responses={
        200: {
            "description": "The events, without an end.",
            "headers": HEADERS,
            "content": {_Events.media_type: {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        **problems(StoreUnavailable, Overloaded),
    },
    dependencies=[NoParameters],
)
async def stream(connection: Request, context: ContextDep) -> Response:
    """An event for each change that any process commits, within a second or so.

    - `averages`: a series has a new revision. The data are those of `/{pair}/latest`.
    - `gaps`: a load of a series has ended, or what it lacks has changed, or it has become stale.
      The data are its row of `/pairs`.
    - `price`: a price was collected. The data are a row of `/history/{symbol}`.
    - `anomaly`: the newest price is unusual. The data are those of `/anomaly/{symbol}`.
    - `heartbeat`: the stream is alive; every 15 seconds.

    Each has an id. A client that connects again sends the last one as `Last-Event-ID`, as browsers
    do, and gets what it missed. It may get an event twice, and of more than 500 prices the newest;
    `/history` has them all. The stream ends when the service stops, and when it cannot read its
    database for 10 seconds: connect again.
    """
    return StreamReply(await context.streams.open(connection.headers.get("last-event-id")))
