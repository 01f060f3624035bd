"""GET /{pair}/anomalies."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from app.api.conditional import answered
from app.api.dependencies import ContextDep, IfNoneMatch
from app.api.openapi import (
    NOT_MODIFIED,
    SERIES_ERRORS,
    SERIES_HEADERS,
    JsonBytes,
    json_reply,
    problems,
    series_parameters,
)
from app.api.price_requests import ANOMALIES, AnomaliesDep
from app.core.errors import ReversedPeriod
from app.domain import rendering
from app.domain.anomalies import AnomalousPoint
from app.schemas.prices import SeriesAnomalies
from app.services.anomalies import judge_closes
from app.services.averages import Reading, limited

router = APIRouter(tags=["Series"], default_response_class=JsonBytes)

_EXAMPLE: Final = {
    "pair": "BRLBTC",
    "interval": "1d",
    "method": "relative",
    "judged": 364,
    "insufficient": 1,
    "anomalies": [
        {
            "timestamp": 1709596800,
            "close": 320123.45,
            "previous": 345000.0,
            "relative_change": -0.07210594,
            "usual_change": 0.0,
            "threshold": 0.05,
            "message": "The price fell by 7.210594 %; that exceeds the threshold of 5 %.",
        }
    ],
}


@router.get(
    "/{pair}/anomalies",
    summary="Closes that changed out of the ordinary",
    responses={
        200: json_reply(
            "The anomalous closes, ascending.", SeriesAnomalies, _EXAMPLE, SERIES_HEADERS
        ),
        304: NOT_MODIFIED,
        **problems(*SERIES_ERRORS, ReversedPeriod),
    },
    openapi_extra=series_parameters(ANOMALIES),
)
def anomalies(request: AnomaliesDep, context: ContextDep, if_none_match: IfNoneMatch) -> Response:
    """The closes of a period judged by the rules that judge live prices (`/anomaly/{symbol}`).

    A change exists only between neighbouring buckets: the close after a gap is not judged.
    `judged` and `insufficient` count the closes that could and could not be judged, `X-Data-Missing`
    the buckets without one.
    """
    runtime, (asked, rule) = context.runtime, request
    span = limited(runtime.averages, asked)
    state, closes = judge_closes(runtime.series, asked.series, span.first, span.last, rule)
    rows = b",".join(rendering.flat(_point(point)) for point in closes.anomalies)
    head = rendering.flat(
        {
            "pair": asked.series.pair.legacy,
            "interval": asked.series.interval.value,
            "method": rule.method.value,
            "judged": closes.judged,
            "insufficient": closes.insufficient,
        }
    )
    body = head[:-1] + b',"anomalies":[' + rows + b"]}"
    missing = max(0, asked.expected - closes.judged - closes.insufficient)
    found = Reading(body, state, missing)
    return answered(f"anomalies {rule}", asked, found, if_none_match)


def _point(point: AnomalousPoint) -> rendering.Flat:
    judgement = point.judgement
    return {
        "timestamp": point.bucket,
        "close": rendering.decimal(judgement.latest),
        "previous": rendering.decimal(judgement.previous),
        "relative_change": rendering.decimal(judgement.change),
        "usual_change": rendering.decimal(judgement.usual),
        "threshold": rendering.decimal(judgement.threshold),
        "message": judgement.reason,
    }
