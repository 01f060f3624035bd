"""GET /{pair}/gaps."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import heavy_reads
from app.api.documented import SERIES_ERRORS, WEAK_HEADERS, conditional_replies, problems
from app.api.models import GAPS_EXAMPLE, GapRange, GapReport
from app.api.negotiation import JsonOnly
from app.api.parameters import ContextDep, IfNoneMatch, SeriesDep
from app.api.queries import GAPS, series_parameters
from app.api.responses import JsonBytes, conditional_response, is_held, tag_of, weak_reply
from app.core.errors import Overloaded
from app.core.market import DAY
from app.domain.times import iso, iso_or_none
from app.services.gaps import Basis, Gap, Inspection

_NO_GAPS: Final = b'"gaps":[]'

router = APIRouter(tags=["Series"], default_response_class=JsonBytes, dependencies=[JsonOnly])


@router.get(
    "/{pair}/gaps",
    operation_id="getGaps",
    summary="Which buckets are missing, and why",
    responses={
        **conditional_replies("What is missing.", GapReport, GAPS_EXAMPLE, WEAK_HEADERS),
        **problems(*SERIES_ERRORS, Overloaded),
    },
    openapi_extra=series_parameters(GAPS),
)
async def gaps(
    series: SeriesDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """The closed buckets that have no candle, as ranges with their cause.

    They lie in the served period or, with `warm_up`, in the 199 buckets before it: an average needs
    all buckets of its window, so a hole there removes served averages, too. `expected`, `stored`
    and `missing` count the served period alone.

    `never-fetched`: no load has requested it from the exchange yet. `refused`: the exchange sent a
    candle that must not be used (`/{pair}/quarantine` says why). `absent`: the exchange had none.
    `confirmed-absent`: a day or more later it still had none; `complete` ignores those.

    The operator's monitor reports the same. Its repair may call a range `unreachable`: the exchange
    did not answer that run. This is not stored, so here the range keeps its earlier cause.

    The weak `ETag` names all but the two ages, which are those of the moment of the reply. A 304
    says that nothing else has changed.
    """
    clock, inspector = context.runtime.clock, context.inspector
    basis, kept = await run_in_threadpool(inspector.look, series, clock())
    if is_held(held, _tag(basis)):
        return conditional_response(weak_reply(b"", _tag(basis)), held)

    def answer() -> Response:
        basis, inspection = inspector.inspect(series, clock())
        body = _body(inspection)
        if basis is None:
            return JsonBytes(body)
        return conditional_response(weak_reply(body, _tag(basis)), held)

    # A kept inspection costs its rendering; a new one reads what is stored.
    rows = context.history_days * DAY // series.step if kept is None else len(kept.gaps)
    return await heavy_reads.read(context, connection, rows, answer)


def _tag(basis: Basis) -> str:
    """The entity tag: all that the reply depends on, but not its ages."""
    return tag_of(f"gaps {basis}")


def _body(inspection: Inspection) -> bytes:
    # Gap by gap: one call for many thousands would hold the interpreter, and so all other requests.
    gaps = b",".join(_range(gap).model_dump_json().encode() for gap in inspection.gaps)
    before, after = _reply(inspection).model_dump_json().encode().split(_NO_GAPS)
    return b"".join((before, _NO_GAPS[:-1], gaps, _NO_GAPS[-1:], after))


def _range(gap: Gap) -> GapRange:
    return GapRange(
        first=iso(gap.first),
        last=iso(gap.last),
        count=gap.count,
        cause=gap.cause.value,
        warm_up=gap.warm_up,
    )


def _reply(inspection: Inspection) -> GapReport:
    """The reply without its gaps."""
    return GapReport(
        pair=inspection.series.pair.legacy,
        symbol=inspection.series.pair.symbol,
        interval=inspection.series.interval.value,
        first=iso(inspection.served.first),
        last=iso(inspection.served.last),
        expected=inspection.expected,
        stored=inspection.stored,
        missing=inspection.missing,
        warm_up_missing=inspection.warm_up_missing,
        complete=inspection.complete(),
        stale=inspection.stale,
        as_of=iso_or_none(inspection.newest),
        age_seconds=inspection.age,
        checked_at=iso_or_none(inspection.checked_at),
        checked_age_seconds=inspection.checked_age,
        gaps=(),
        quarantined=inspection.quarantined,
        wrong_averages=tuple(
            (iso(span.first), iso(span.last)) for span in inspection.wrong_averages
        ),
    )
