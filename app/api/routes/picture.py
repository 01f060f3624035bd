"""GET /{pair}/chart.svg: a picture of the candles and their averages, for any `<img>`."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from app.api import heavy_reads
from app.api.documented import PICTURE_HEADERS, SERIES_ERRORS, problems
from app.api.negotiation import PictureOnly
from app.api.parameters import ContextDep, IfNoneMatch, PictureDep
from app.api.queries import PICTURE, series_parameters
from app.api.responses import conditional_response, file_reply, freshness
from app.core.errors import Overloaded, UnsupportedRange
from app.domain.picture import svg
from app.services.pictures import read_view

router = APIRouter(tags=["Series"], dependencies=[PictureOnly])

_EMBEDDED: Final = (b"cross-origin-resource-policy", b"cross-origin")


class _Svg(Response):
    media_type = "image/svg+xml"


@router.get(
    "/{pair}/chart.svg",
    operation_id="getChart",
    summary="A picture of the candles, for any page",
    response_class=_Svg,
    responses={
        200: {
            "description": "The picture, in SVG.",
            "headers": PICTURE_HEADERS,
            "content": {_Svg.media_type: {"schema": {"type": "string"}}},
        },
        304: {
            "description": "The picture that If-None-Match names is still right.",
            "headers": PICTURE_HEADERS,
        },
        **problems(*SERIES_ERRORS, Overloaded, UnsupportedRange),
    },
    openapi_extra=series_parameters(PICTURE),
)
async def chart(
    request: PictureDep, context: ContextDep, connection: Request, held: IfNoneMatch
) -> Response:
    """Closed candles and their averages, drawn from the data that `/{pair}/candles` has.

    A bucket without a candle is shaded and says why; no average is drawn across one. The running
    bucket is an empty slot. Pages of other sites may embed the picture.
    """
    selection, look = request

    def answer() -> Response:
        view = read_view(context.runtime.series, selection)
        body = svg(view.scene, look).encode()
        reply = file_reply(body, _Svg.media_type)
        about = freshness(view.as_of, view.scene.stale, view.missing, view.reason)
        reply.headers.extend([*about, _EMBEDDED])
        return conditional_response(reply, held)

    return await heavy_reads.read(context, connection, selection.most_rows, answer)
