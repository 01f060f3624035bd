"""What /docs says about replies: their headers, their examples, and every error.

The models of the bodies are in `app.api.models`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from app.api.compression import VARY
from app.api.errors import (
    FORBIDDEN,
    PROBLEM_JSON,
    UNAUTHORIZED,
    Answer,
    answer_to,
    of_status,
    problem,
)
from app.api.models import Problem
from app.api.reply_headers import NO_STORE, POLICY, SECURITY
from app.core.errors import (
    InvalidParameter,
    MmsError,
    NotAcceptable,
    Overloaded,
    RepeatedParameter,
    StoreUnavailable,
    UnknownParameter,
    UnsupportedInterval,
    UnsupportedPair,
)

_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}

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


_SENT: Final = {name.decode(): value.decode() for name, value in (*SECURITY, POLICY, NO_STORE)}

_OF_EVERY_REPLY: Final = {
    "X-Request-ID": _header(
        "The request's id: its own X-Request-ID, or a new one.", "5f0c2a9e41d3b786"
    ),
    "X-Content-Type-Options": _header(
        "The Content-Type is right.", _SENT["x-content-type-options"]
    ),
    "Referrer-Policy": _header("Links tell nobody this address.", _SENT["referrer-policy"]),
    "Cross-Origin-Resource-Policy": _header(
        "Pages of other sites do not embed it.", _SENT["cross-origin-resource-policy"]
    ),
    "Content-Security-Policy": _header(
        "It loads and runs nothing.", _SENT["content-security-policy"]
    ),
    "Cache-Control": _header("It is right at this moment alone.", _SENT["cache-control"]),
    "Vary": _header(
        "A client's formats are respected, and replies compressed for one that accepts gzip.",
        VARY[1].decode(),
    ),
}

COMPONENTS: Final = {
    "schemas": {"Problem": Problem.model_json_schema()},
    "headers": _OF_EVERY_REPLY,
}
"""The parts of the document that its replies refer to."""

HEADERS: Final = {name: {"$ref": f"#/components/headers/{name}"} for name in _OF_EVERY_REPLY}
"""The headers of every reply."""


PRICE_HEADERS: Final = {
    **HEADERS,
    "Age": _header(
        "Seconds since the price was collected; absent where this request collected it.", 12
    ),
}
"""The headers of a price that was asked for now."""

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
    "X-Data-Missing": _header(
        "How many of the requested buckets have ended and have no value; up to the last row, where "
        "a limit left others out.",
        0,
    ),
    "X-Data-Reason": _header(
        "Only where the reply is empty, or the period begins before all that can have a value: why.",
        "Nothing is stored for BRLBTC at 1d yet: the service has been asking the exchange for it "
        "since 2024-03-30T00:05:02Z.",
    ),
    "Content-Disposition": _header(
        "Only of CSV: a name for the file.", 'attachment; filename="BRLBTC-1d-mms-20.csv"'
    ),
    "Link": _header(
        "Only where a limit left rows out: the address of the next ones (RFC 8288), relative to "
        "that of the request.",
        '<?range=20&limit=2&from=2024-03-28T00:00:00Z&to=2024-03-29T00:00:00Z>; rel="next"',
    ),
}

TAGGED_HEADERS: Final = {
    **HEADERS,
    "ETag": SERIES_HEADERS["ETag"],
    "Cache-Control": SERIES_HEADERS["Cache-Control"],
}
"""The headers of a reply with an entity tag."""

HISTORY_HEADERS: Final = {
    **TAGGED_HEADERS,
    "X-Data-Reason": _header(
        "Only where the reply is empty: why.", "No price of BTC was collected in this period."
    ),
}
"""The headers of collected prices."""

RECORDS_HEADERS: Final = {
    **HEADERS,
    "X-Data-Reason": _header(
        "Only where the reply is empty: why.",
        "No candle of BRLBTC at 1d has been refused so far.",
    ),
}
"""The headers of records about candles."""

LATEST_HEADERS: Final = {
    **TAGGED_HEADERS,
    "X-Data-As-Of": SERIES_HEADERS["X-Data-As-Of"],
    "X-Data-Stale": SERIES_HEADERS["X-Data-Stale"],
    "X-Data-Missing": _header(
        "How many closed buckets after the newest stored one are due; all served ones where "
        "nothing is stored.",
        0,
    ),
    "X-Data-Reason": _header(
        "What is absent, and where to see why: the same as `message`.",
        SERIES_HEADERS["X-Data-Reason"]["example"],
    ),
}
"""The headers of the newest candle of a series."""

LATEST_OF_ALL_HEADERS: Final = {
    **TAGGED_HEADERS,
    "X-Data-As-Of": _header(
        "The oldest `as_of` of all that have one, ISO 8601, UTC; absent where none has.",
        "2024-03-29T00:00:00Z",
    ),
    "X-Data-Stale": _header("`true` where one of them is stale; else `false`.", "false"),
    "X-Data-Missing": _header(
        "How many closed buckets after the newest stored ones are due, of all pairs together.", 0
    ),
}
"""The headers of the newest candles of all pairs."""

PICTURE_HEADERS: Final = {
    **{
        name: header
        for name, header in SERIES_HEADERS.items()
        if name not in ("Content-Disposition", "Link")
    },
    "Cross-Origin-Resource-Policy": _header("Pages of any site may embed it.", "cross-origin"),
}
"""The headers of a picture of a series."""

WEAK_HEADERS: Final = {
    **TAGGED_HEADERS,
    "ETag": _header(
        "Names all of the reply but its ages. Sent as If-None-Match it is answered with 304 while "
        "nothing else has changed. Absent where the series changed during the reads.",
        'W/"0f41c2a7d95be8630f41c2a7"',
    ),
}
"""The headers of a reply with a weak entity tag."""


def json_reply(
    description: str, model: Any, example: Any, headers: Mapping[str, Any] = HEADERS
) -> dict[str, Any]:
    """One documented reply in JSON."""
    return {
        "description": description,
        "model": model,
        "content": {"application/json": {"example": example}},
        "headers": headers,
    }


def conditional_replies(
    description: str, model: Any, example: Any, headers: dict[str, Any] = TAGGED_HEADERS
) -> dict[int | str, dict[str, Any]]:
    """The documented reply with an entity tag, and 304 in its place."""
    not_modified = "The reply that If-None-Match names is still right."
    return {
        200: json_reply(description, model, example, headers),
        304: {"description": not_modified, "headers": headers},
    }


def series_replies(
    description: str, model: Any, example: Any, *errors: type[MmsError]
) -> dict[int | str, dict[str, Any]]:
    """The documented replies to a read of a series, by status; `errors` besides the usual ones.

    Such a read may be a heavy one.
    """
    return {
        **conditional_replies(description, model, example, SERIES_HEADERS),
        **problems(*SERIES_ERRORS, Overloaded, *errors),
    }


def problems(*errors: type[MmsError]) -> dict[int | str, dict[str, Any]]:
    """The documented error replies, by status, each with an example for every code.

    Besides `errors` they are those of a query that is unreadable or has an unknown parameter, and
    that of a client which accepts no format of the reply.
    """
    documented: dict[int | str, dict[str, Any]] = {}
    every: tuple[type[MmsError], ...] = (InvalidParameter, UnknownParameter, NotAcceptable, *errors)
    for error in every:
        answer = answer_to(error)
        _document(documented, answer, answer.example)
        if answer.code == "upstream-unavailable":
            documented[answer.status]["headers"]["Retry-After"] = _header(
                "Seconds to wait, where the upstream service says how long.", 60
            )
        elif error is Overloaded:
            documented[answer.status]["headers"]["Retry-After"] = _header(
                "Seconds to wait, where too much was going on.", 1
            )
    return documented


def wrong_method(allowed: str = "GET, HEAD") -> dict[int | str, dict[str, Any]]:
    """The documented reply to a method that an address does not have."""
    documented: dict[int | str, dict[str, Any]] = {}
    detail = f"DELETE is not possible at /example; allowed: {allowed}."
    _document(documented, of_status(405), detail)
    documented[405]["headers"]["Allow"] = _header("The methods that are possible here.", allowed)
    return documented


def problem_reply(answer: Answer, detail: str) -> dict[str, Any]:
    """One documented error reply, with an example."""
    documented: dict[int | str, dict[str, Any]] = {}
    _document(documented, answer, detail)
    if answer in (UNAUTHORIZED, FORBIDDEN):
        documented[answer.status]["headers"]["WWW-Authenticate"] = _header(
            "What is wrong with the key (RFC 6750); absent where no key helps.",
            'Bearer realm="mms-api"',
        )
    return documented[answer.status]


def _document(documented: dict[int | str, dict[str, Any]], answer: Answer, detail: str) -> None:
    reply = documented.setdefault(
        answer.status,
        {
            "description": "",
            "content": {PROBLEM_JSON: {"schema": _PROBLEM, "examples": {}}},
            "headers": dict(HEADERS),
        },
    )
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        reply["headers"]["Retry-After"] = _header("Seconds to wait.", 4)
    reply["description"] = f"{reply['description']}, `{answer.code}`".lstrip(", ")
    reply["content"][PROBLEM_JSON]["examples"][answer.code] = {
        "summary": answer.title,
        "value": problem(answer, detail, "5f0c2a9e41d3b786"),
    }
