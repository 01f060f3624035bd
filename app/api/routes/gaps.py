"""GET /{pair}/gaps."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from app.api.dependencies import GAPS, ContextDep, SeriesDep
from app.api.openapi import SERIES_ERRORS, JsonBytes, json_reply, problems, series_parameters
from app.domain.times import iso
from app.schemas.replies import GapRange, Gaps
from app.services.gaps import Inspection, inspect

router = APIRouter(tags=["Series"], default_response_class=JsonBytes)

_EXAMPLE: Final = {
    "pair": "BRLBTC",
    "symbol": "BTC-BRL",
    "interval": "1d",
    "first": "2023-03-31T00:00:00Z",
    "last": "2024-03-29T00:00:00Z",
    "expected": 365,
    "stored": 363,
    "missing": 2,
    "warm_up_missing": 1,
    "complete": False,
    "stale": False,
    "as_of": "2024-03-29T00:00:00Z",
    "age_seconds": 36_000,
    "checked_at": "2024-03-30T00:05:02Z",
    "checked_age_seconds": 35_698,
    "gaps": [
        {
            "first": "2023-02-14T00:00:00Z",
            "last": "2023-02-14T00:00:00Z",
            "count": 1,
            "cause": "never-fetched",
            "warm_up": True,
        },
        {
            "first": "2023-12-24T00:00:00Z",
            "last": "2023-12-25T00:00:00Z",
            "count": 2,
            "cause": "absent",
            "warm_up": False,
        },
    ],
    "quarantined": 0,
    "wrong_averages": [],
}


@router.get(
    "/{pair}/gaps",
    summary="Which buckets are missing, and why",
    responses={
        200: json_reply("What is missing.", Gaps, _EXAMPLE),
        **problems(*SERIES_ERRORS),
    },
    openapi_extra=series_parameters(GAPS),
)
def gaps(series: SeriesDep, context: ContextDep) -> Response:
    """The closed buckets that have no candle, as ranges with their cause.

    They are of the served period, or (`warm_up`) of the 199 buckets before it: an average needs all
    buckets of its window, so a hole there removes served averages, too. `expected`, `stored` and
    `missing` count the served period alone.

    `never-fetched`: the exchange was not asked yet. `refused`: it sent a candle that must not be
    used (`/{pair}/quarantine` says why). `absent`: it was asked and had none. `confirmed-absent`: it
    was asked again a day or more later and still had none; `complete` takes no notice of those.

    `make monitor` reports the same. With `--repair` it may say `unreachable` of a range instead: that
    run asked for it in vain. That is not kept, so here the range has the cause that it had before.
    """
    runtime = context.runtime
    found = inspect(runtime.series, series, runtime.settings.history_days, runtime.clock())
    return JsonBytes(_reply(found).model_dump_json().encode())


def _reply(found: Inspection) -> Gaps:
    return Gaps(
        pair=found.series.pair.legacy,
        symbol=found.series.pair.symbol,
        interval=found.series.interval.value,
        first=iso(found.served.first),
        last=iso(found.served.last),
        expected=found.expected,
        stored=found.stored,
        missing=found.missing,
        warm_up_missing=found.warm_up_missing,
        complete=found.complete(),
        stale=found.stale,
        as_of=None if found.newest is None else iso(found.newest),
        age_seconds=found.age,
        checked_at=None if found.checked_at is None else iso(found.checked_at),
        checked_age_seconds=found.checked_age,
        gaps=tuple(
            GapRange(
                first=iso(g.first),
                last=iso(g.last),
                count=g.count,
                cause=g.cause.value,
                warm_up=g.warm_up,
            )
            for g in found.gaps
        ),
        quarantined=found.quarantined,
        wrong_averages=tuple((iso(span.first), iso(span.last)) for span in found.wrong_averages),
    )
