"""GET /{pair}/chart.svg."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from app.api import heavy_reads
from app.api.documented import PICTURE_HEADERS, SERIES_ERRORS, conditional_replies, problems
from app.api.negotiation import SVG, PictureOnly
from app.api.parameters import ContextDep, IfNoneMatch, PictureDep
from app.api.queries import CHART, series_parameters
from app.api.reply_headers import EMBEDDED
from app.api.responses import conditional_response, series_reply, tag_of
from app.core.errors import Overloaded, UnsupportedRange
from app.services.pictures import read_picture

router = APIRouter(tags=["Series"], dependencies=[PictureOnly])

_EXAMPLE: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="960" height="520" viewBox="0 0 9600 5200" '
    'role="img" lang="en"><title>BTC-BRL at 1d</title></svg>\n'
)


class _Picture(Response):
    media_type = SVG


def _replies() -> dict[int | str, dict[str, Any]]:
    replies = {
        **conditional_replies("The picture.", None, None, PICTURE_HEADERS),
        **problems(*SERIES_ERRORS, Overloaded, UnsupportedRange),
    }
    replies[200]["content"] = {SVG: {"schema": {"type": "string"}, "example": _EXAMPLE}}
    return replies


@router.get(
    "/{pair}/chart.svg",
    operation_id="getChart",
    response_class=_Picture,
    summary="A picture of candles, averages and gaps, for any page",
    responses=_replies(),
    openapi_extra=series_parameters(CHART),
)
async def chart(
    request: PictureDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """The same candles and averages as `/{pair}/candles`, drawn as SVG: for a README, any `<img>`.

    Buckets without a candle are shaded, with their cause; revised candles have a mark; the bucket
    that has not ended is an empty slot. The picture says how fresh it is. Where there is nothing to
    draw, it says why. It has neither scripts nor addresses in it, and pages of any site may embed
    it.
    """
    runtime, (buckets, windows, theme, language) = context.runtime, request

    def answer() -> Response:
        reading = read_picture(runtime.series, buckets, windows, theme, language)
        # All that the picture depends on can be seen in it.
        kind = f"chart {tag_of(reading.body.decode())}"
        reply = series_reply(kind, buckets, reading, media_type=SVG)
        reply.headers.append(EMBEDDED)
        return conditional_response(reply, held)

    return await heavy_reads.read(context, connection, buckets.expected, answer)
