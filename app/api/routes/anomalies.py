"""GET /{pair}/anomalies."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.api import heavy_reads
from app.api.models import ANOMALIES_EXAMPLE, SeriesAnomalies
from app.api.negotiation import JsonOnly
from app.api.parameters import AnomaliesDep, ContextDep, IfNoneMatch
from app.api.queries import ANOMALIES, series_parameters
from app.api.responses import JsonBytes, series_replies, series_reply, series_response
from app.bootstrap import Runtime
from app.core.errors import ReversedPeriod
from app.domain import rendering
from app.domain.anomalies import AnomalousPoint, Rule
from app.services.anomalies import judge_closes
from app.services.averages import Reading, Selection, limited

router = APIRouter(tags=["Series"], default_response_class=JsonBytes, dependencies=[JsonOnly])


@router.get(
    "/{pair}/anomalies",
    operation_id="getAnomalies",
    summary="Closes that changed out of the ordinary",
    responses=series_replies(
        "The anomalous closes, ascending.", SeriesAnomalies, ANOMALIES_EXAMPLE, ReversedPeriod
    ),
    openapi_extra=series_parameters(ANOMALIES),
)
async def anomalies(
    request: AnomaliesDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """The closes of a period, judged by the rules for live prices (`/anomaly/{symbol}`).

    A change exists only between neighbouring buckets, so the close after a gap is not judged.
    `judged` counts the closes that could be judged, `insufficient` those that could not, and
    `X-Data-Missing` the buckets without a close.
    """
    runtime, (buckets, rule) = context.runtime, request

    def answer() -> Response:
        reading = _read(runtime, buckets, rule)
        return series_response(series_reply(f"anomalies {rule}", buckets, reading), held)

    return await heavy_reads.read(context, connection, buckets.expected, answer)


def _read(runtime: Runtime, buckets: Selection, rule: Rule) -> Reading:
    span = limited(runtime.averages, buckets, has_limit=False)
    state, closes = judge_closes(runtime.series, buckets.series, span.first, span.last, rule)
    rows = b",".join(rendering.flat(_point(point)) for point in closes.anomalies)
    head = rendering.flat(
        {
            "pair": buckets.series.pair.legacy,
            "interval": buckets.series.interval.value,
            "method": rule.method.value,
            "judged": closes.judged,
            "insufficient": closes.insufficient,
        }
    )
    body = head[:-1] + b',"anomalies":[' + rows + b"]}\n"
    judged = closes.judged + closes.insufficient
    return Reading(body, state, judged, buckets.missing(judged, state.last))


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
