"""GET /{pair}/latest and GET /latest."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api import bodies
from app.api.documented import (
    LATEST_HEADERS,
    LATEST_OF_ALL_HEADERS,
    SERIES_ERRORS,
    conditional_replies,
    problems,
)
from app.api.models import LATEST_EXAMPLE, LatestCandle
from app.api.negotiation import JsonOnly
from app.api.parameters import ContextDep, IfNoneMatch, IntervalDep, SeriesDep
from app.api.queries import LATEST, series_parameters
from app.api.responses import JsonBytes, conditional_response, freshness, tagged_reply
from app.core.errors import RepeatedParameter, StoreUnavailable, UnsupportedInterval
from app.core.market import Series
from app.services.latest import read_latest, read_latest_of_all

router = APIRouter(tags=["Series"], default_response_class=JsonBytes, dependencies=[JsonOnly])


@router.get(
    "/latest",
    operation_id="listLatest",
    summary="The newest candle of every pair",
    responses={
        **conditional_replies(
            "The newest candles, in the order of ALLOWED_PAIRS.",
            list[LatestCandle],
            [LATEST_EXAMPLE],
            LATEST_OF_ALL_HEADERS,
        ),
        **problems(RepeatedParameter, UnsupportedInterval, StoreUnavailable),
    },
    openapi_extra={"parameters": LATEST.documented()},
)
def latest_of_all(interval: IntervalDep, context: ContextDep, held: IfNoneMatch) -> Response:
    """What `/{pair}/latest` says, for each served pair.

    `X-Data-As-Of` is the oldest `as_of` of them, `X-Data-Stale` is `true` if one is stale, and
    `X-Data-Missing` is the sum.
    """
    runtime = context.runtime
    every = [Series(pair, interval) for pair in runtime.settings.allowed_pairs]
    now = runtime.clock()
    candles = read_latest_of_all(runtime.series, every, context.history_days, now)
    headers = freshness(
        min((each.as_of for each in candles if each.as_of is not None), default=None),
        stale=any(each.stale for each in candles),
        missing=sum(each.missing for each in candles),
    )
    content = b"[" + b",".join(map(bodies.latest, candles)) + b"]"
    return conditional_response(tagged_reply(content, headers), held)


@router.get(
    "/{pair}/latest",
    operation_id="getLatest",
    summary="The newest candle, its averages, and what has just crossed",
    responses={
        **conditional_replies("The newest candle.", LatestCandle, LATEST_EXAMPLE, LATEST_HEADERS),
        **problems(*SERIES_ERRORS),
    },
    openapi_extra=series_parameters(LATEST),
)
def latest(series: SeriesDep, context: ContextDep, held: IfNoneMatch) -> Response:
    """The newest stored candle with its averages, and the one stored before it.

    `crossed` names what crossed between the two: `close>mms_200` where the close was not above that
    average before and is now, `mms_50<mms_200` where that average of 50 was not below the one of
    200 before and is now. A candle that is missing between the two leaves it empty. `distance_200`
    is (close - mms_200) / mms_200, rounded half to even at 4 places. `trend` is the side on which
    the close lies.

    What does not exist is null, and `message` then says why. Where nothing is stored the reply is
    200 as well. `X-Data-Missing` counts the closed buckets after this one that are due.
    """
    candle = read_latest(
        context.runtime.series, series, context.history_days, context.runtime.clock()
    )
    headers = freshness(candle.as_of, candle.stale, candle.missing, candle.message)
    return conditional_response(tagged_reply(bodies.latest(candle), headers), held)
