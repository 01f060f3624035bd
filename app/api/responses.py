"""Replies: their bytes, their documentation in /docs, and the answer to a conditional request.

The models of the bodies are in `app.api.models`.
"""

from __future__ import annotations

import re
import string
from email.utils import formatdate
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import JSONResponse

from app.api.errors import PROBLEM_JSON, Answer, answer_to, of_status, problem
from app.api.models import Problem
from app.core.errors import (
    InvalidParameter,
    MmsError,
    RepeatedParameter,
    StoreUnavailable,
    UnknownParameter,
    UnsupportedInterval,
    UnsupportedPair,
)
from app.core.market import Window
from app.domain.revisions import changed_at
from app.domain.times import iso
from app.services.averages import Reading, Selection, why_absent
from app.services.gaps import is_stale

# A client may use a stored reply only after revalidation, which costs little.
_CACHING: Final = "public, no-cache"
_ASCII: Final = f" {string.ascii_letters}{string.digits}{string.punctuation}"
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')


class JsonBytes(JSONResponse):
    """JSON that is already rendered."""

    def render(self, content: bytes) -> bytes:
        """The bytes as they are."""
        return content


def series_reply(
    kind: str, buckets: Selection, reading: Reading, held: str | None, window: Window | None = None
) -> Response:
    """The reply with the body of `reading`, or 304 where the client holds it.

    `kind` is the endpoint with everything else that shapes the body, `held` the request's
    If-None-Match, and `window` that of the averages, if any. The ETag depends on the revision and
    the buckets. So it changes with every change of the body and, for a period that ends now, with
    every new bucket.
    """
    tag = _etag(kind, buckets, reading)
    headers = _headers(buckets, reading, tag, window)
    if _is_held(held, tag):
        return Response(status_code=304, headers=headers)
    return JsonBytes(reading.body, headers=headers)


def _etag(kind: str, buckets: Selection, reading: Reading) -> str:
    """The entity tag of one representation."""
    period = f"{buckets.first} {min(buckets.last, buckets.closed)}"
    name = f"{kind} {buckets.series.pair.symbol} {buckets.series.interval} {period}"
    name = f"{name} {reading.state.revision} {reading.missing}"
    return f'"{blake2b(name.encode(), digest_size=12).hexdigest()}"'


def _headers(
    buckets: Selection, reading: Reading, tag: str, window: Window | None
) -> dict[str, str]:
    """The headers of a read, whether its body is sent or not."""
    state = reading.state
    headers = {
        "ETag": tag,
        "Cache-Control": _CACHING,
        "X-Data-Stale": (
            "true" if is_stale(state, buckets.series.interval, buckets.now) else "false"
        ),
        "X-Data-Missing": str(reading.missing),
    }
    if state.revision:
        headers["Last-Modified"] = formatdate(changed_at(state.revision), usegmt=True)
    if state.last is not None:
        headers["X-Data-As-Of"] = iso(state.last)
    reason = why_absent(buckets, state, window)
    if reason is not None:
        # A header is ASCII, and a pair's name may not be.
        headers["X-Data-Reason"] = quote(reason, safe=_ASCII)
    return headers


def _is_held(if_none_match: str | None, tag: str) -> bool:
    """Whether the client's If-None-Match (RFC 9110, 13.1.2) names this representation."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in _TAG.findall(if_none_match)


# What /docs says about replies.

_PROBLEM: Final = Problem.model_json_schema()

SERIES_ERRORS: Final = (
    RepeatedParameter,
    UnsupportedPair,
    UnsupportedInterval,
    StoreUnavailable,
)
"""The errors of every request for a series, whatever its query."""


def _header(description: str, example: str | int) -> dict[str, Any]:
    kind = "integer" if isinstance(example, int) else "string"
    return {"description": description, "schema": {"type": kind}, "example": example}


HEADERS: Final = {
    "X-Request-ID": _header(
        "The request's id: its own X-Request-ID, or a new one.", "5f0c2a9e41d3b786"
    ),
    "X-Content-Type-Options": _header("The Content-Type is right.", "nosniff"),
}
"""The headers of every reply."""

SERIES_HEADERS: Final = {
    **HEADERS,
    "X-Data-As-Of": _header(
        "Newest stored bucket of the series, ISO 8601, UTC; absent where none is.",
        "2024-03-29T00:00:00Z",
    ),
    "X-Data-Stale": _header(
        "`true` where the exchange has had a newer closed bucket for longer than an hour, or than "
        "one bucket where that is shorter; else `false`.",
        "false",
    ),
    "ETag": _header(
        "Names this reply. Sent as If-None-Match it is answered with 304 while nothing has "
        "changed.",
        '"0f41c2a7d95be8630f41c2a7"',
    ),
    "Cache-Control": _header(
        "A stored reply may be used after checking that it is still right.", "public, no-cache"
    ),
    "Last-Modified": _header(
        "When the series was changed last; absent where it never was.",
        "Sat, 30 Mar 2024 00:05:02 GMT",
    ),
    "X-Data-Missing": _header("How many of the requested buckets have ended and have no value.", 0),
    "X-Data-Reason": _header(
        "Only where nothing of the series is stored, or the period begins before all that can have "
        "a value: why, and what to do.",
        "Nothing is stored for BRLBTC at 1d yet: run make initial_load.",
    ),
}

NOT_MODIFIED: Final = {
    "description": "The reply that If-None-Match names is still right.",
    "headers": SERIES_HEADERS,
}


def json_reply(
    description: str, model: Any, example: Any, headers: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One documented reply in JSON."""
    return {
        "description": description,
        "model": model,
        "content": {"application/json": {"example": example}},
        "headers": headers or HEADERS,
    }


def series_replies(
    description: str, model: Any, example: Any, *errors: type[MmsError]
) -> dict[int | str, dict[str, Any]]:
    """The documented replies to a read of a series, by status; `errors` besides the usual ones."""
    return {
        200: json_reply(description, model, example, SERIES_HEADERS),
        304: NOT_MODIFIED,
        **problems(*SERIES_ERRORS, *errors),
    }


def problems(*errors: type[MmsError]) -> dict[int | str, dict[str, Any]]:
    """The documented error replies, by status, each with an example for every code.

    Besides `errors` they are those of a query that is unreadable or has an unknown parameter.
    """
    documented: dict[int | str, dict[str, Any]] = {}
    every: tuple[type[MmsError], ...] = (InvalidParameter, UnknownParameter, *errors)
    for error in every:
        answer = answer_to(error)
        _document(documented, answer, answer.example)
        if answer.code == "upstream-unavailable":
            documented[answer.status]["headers"]["Retry-After"] = _header(
                "Seconds to wait, where the upstream service says how long.", 60
            )
    return documented


def wrong_method(allowed: str = "GET, HEAD") -> dict[int | str, dict[str, Any]]:
    """The documented reply to a method that an address does not have."""
    documented: dict[int | str, dict[str, Any]] = {}
    detail = f"DELETE is not possible at /example; allowed: {allowed}."
    _document(documented, of_status(405), detail)
    documented[405]["headers"]["Allow"] = _header("The methods that are possible here.", allowed)
    return documented


def _document(documented: dict[int | str, dict[str, Any]], answer: Answer, detail: str) -> None:
    reply = documented.setdefault(
        answer.status,
        {
            "description": "",
            "content": {PROBLEM_JSON: {"schema": _PROBLEM, "examples": {}}},
            "headers": dict(HEADERS),
        },
    )
    reply["description"] = f"{reply['description']}, `{answer.code}`".lstrip(", ")
    reply["content"][PROBLEM_JSON]["examples"][answer.code] = {
        "summary": answer.title,
        "value": problem(answer, detail, "5f0c2a9e41d3b786"),
    }
