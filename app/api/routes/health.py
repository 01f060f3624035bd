"""GET /health, /healthz and /readyz.

They ignore the query: a probe may add any. All are coroutines, which no busy thread holds up; what
reads the database runs as `app.api.checks` says.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

from fastapi import APIRouter, Response

from app.api.documented import json_reply
from app.api.models import (
    ALIVE_EXAMPLE,
    DRAINING,
    HEALTH_EXAMPLE,
    NO_HEALTH_EXAMPLE,
    NOT_READY_EXAMPLE,
    READY_EXAMPLE,
    Alive,
    Health,
    Readiness,
    Reply,
)
from app.api.parameters import ContextDep
from app.api.responses import JsonBytes
from app.core.how_to_run import how_to_run

router = APIRouter(tags=["Health"], default_response_class=JsonBytes)

State = Literal["ok", "degraded"]

_NO_DATABASE: Final = "The database does not answer; the service's log says why."


@router.get(
    "/health",
    operation_id="getHealth",
    summary="Whether the service and what it needs work",
    responses={
        200: json_reply("It works.", Health, HEALTH_EXAMPLE),
        503: json_reply("The database is unusable.", Health, NO_HEALTH_EXAMPLE),
    },
)
async def health(context: ContextDep) -> Response:
    """200 while the database answers reads, else 503.

    `status` is `degraded` while a cache node is away (reads are then slower, and still right), or
    after a request to the price source failed. The latter adds `prices`, until a request succeeds
    or PRICE_STALE_SECONDS have passed: /health itself asks no other host.
    """
    checks = context.runtime.health
    cache = _cache(context)
    parts: dict[str, State] = {"cache": cache}
    if checks.prices_fail():
        parts["prices"] = "degraded"
    if not await context.checks.outcome("health", checks.database_works):
        return _reply(503, Health(status="unavailable", database="unavailable", **parts))
    status: State = "degraded" if "degraded" in parts.values() else "ok"
    return _reply(200, Health(status=status, database="ok", **parts))


@router.get(
    "/healthz",
    operation_id="getLiveness",
    summary="Whether the process is alive",
    responses={200: json_reply("It is.", Alive, ALIVE_EXAMPLE)},
)
async def alive() -> Response:
    """Always 200: restart the process where this does not answer."""
    return _reply(200, Alive(status="alive"))


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Whether to send requests here",
    responses={
        200: json_reply("Send them.", Readiness, READY_EXAMPLE),
        503: json_reply("Send them elsewhere.", Readiness, NOT_READY_EXAMPLE),
    },
)
async def ready(context: ContextDep) -> Response:
    """503 while the database is unusable or the process shuts down.

    An empty database is no reason for 503: reads answer with an empty list. `data` then says
    `empty`, and `message` names the command that loads it.
    """
    runtime = context.runtime
    if context.draining.is_set():
        return _reply(503, Readiness(status="unavailable", message=DRAINING))
    settings = runtime.settings
    check = partial(
        runtime.health.anything_stored,
        runtime.series,
        settings.allowed_pairs,
        settings.intervals,
    )
    present = await context.checks.outcome("readiness", check)
    if present is None:
        return _reply(503, Readiness(status="unavailable", message=_NO_DATABASE))
    if present:
        return _reply(200, Readiness(status="ready", data="present", cache=_cache(context)))
    message = f"No data yet: run {how_to_run('load')}."
    return _reply(
        200, Readiness(status="ready", data="empty", cache=_cache(context), message=message)
    )


def _cache(context: ContextDep) -> State:
    return "ok" if context.runtime.health.cache_works() else "degraded"


def _reply(status: int, body: Reply) -> Response:
    return JsonBytes(body.model_dump_json(exclude_unset=True).encode(), status)
