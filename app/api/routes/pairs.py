"""GET /pairs."""

from __future__ import annotations

from itertools import product

from fastapi import APIRouter, Response

from app.api import bodies
from app.api.documented import conditional_replies, problems
from app.api.models import PAIRS_EXAMPLE, ServedSeries
from app.api.negotiation import JsonOnly
from app.api.parameters import ContextDep, IfNoneMatch, NoParameters
from app.api.responses import JsonBytes, conditional_response, tagged_reply
from app.core.errors import StoreUnavailable
from app.core.market import Series

router = APIRouter(tags=["Series"], default_response_class=JsonBytes, dependencies=[JsonOnly])


@router.get(
    "/pairs",
    operation_id="listPairs",
    summary="What is served, how complete and how fresh",
    responses={
        **conditional_replies("Every served series.", ServedSeries, PAIRS_EXAMPLE),
        **problems(StoreUnavailable),
    },
    dependencies=[NoParameters],
)
def pairs(context: ContextDep, held: IfNoneMatch) -> Response:
    """Every served pair at every served interval.

    `expected`, `stored` and `missing` count the closed buckets of the last `HISTORY_DAYS` days.
    `warm_up_missing` counts the missing ones of the 199 buckets before them, which the first
    averages need. `/{pair}/gaps` names both. `as_of` is the newest stored bucket, and `checked_at`
    the time of the last load that reached the exchange.
    """
    settings = context.runtime.settings
    now = context.runtime.clock()
    coverages = [
        context.coverage.coverage(Series(pair, interval), now)
        for pair, interval in product(settings.allowed_pairs, settings.intervals)
    ]
    body = ServedSeries(pairs=tuple(map(bodies.status, coverages)))
    content = body.model_dump_json(exclude_unset=True).encode()
    return conditional_response(tagged_reply(content), held)
