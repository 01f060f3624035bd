"""What /docs says about each request: its parameters, and an example for every reply."""

from __future__ import annotations

from typing import Any, Final

from fastapi.responses import JSONResponse

from app.api.errors import PROBLEM_JSON, Answer, answer_to, of_status, problem
from app.api.query import Query
from app.core.errors import (
    InvalidParameter,
    MmsError,
    RepeatedParameter,
    StoreUnavailable,
    UnknownParameter,
    UnsupportedInterval,
    UnsupportedPair,
)
from app.schemas.replies import Problem

SERIES_ERRORS: Final = (
    RepeatedParameter,
    UnsupportedPair,
    UnsupportedInterval,
    StoreUnavailable,
)
"""What a request for a series may be answered with, whatever its query."""


def _in_path(name: str, description: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


def _header(description: str, example: str | int) -> dict[str, Any]:
    kind = "integer" if isinstance(example, int) else "string"
    return {"description": description, "schema": {"type": kind}, "example": example}


SYMBOL: Final = _in_path(
    "symbol", "`BTC`, any case; `/supported-symbols` lists what is collected.", "BTC"
)
_PAIR: Final = _in_path(
    "pair", "`BRLBTC` or `BTC-BRL`, any case; `/pairs` lists what is served.", "BRLBTC"
)

HEADERS: Final = {
    "X-Request-ID": _header(
        "The request's id: its own X-Request-ID, or a new one.", "5f0c2a9e41d3b786"
    ),
    "X-Content-Type-Options": _header("The Content-Type is right.", "nosniff"),
}
"""What every reply has."""

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
        "Names this reply. Sent as If-None-Match it is answered with 304 while nothing has changed.",
        '"0f41c2a7d95be8630f41c2a7"',
    ),
    "Cache-Control": _header(
        "A stored reply may be used after asking whether it is still right.", "public, no-cache"
    ),
    "Last-Modified": _header(
        "When the series was changed last; absent where it never was.",
        "Sat, 30 Mar 2024 00:05:02 GMT",
    ),
    "X-Data-Missing": _header("How many of the asked buckets have ended and have no value.", 0),
    "X-Data-Reason": _header(
        "Only where nothing of the series is stored, or the period begins before all that can have "
        "a value: why, and what to do.",
        "Nothing is stored for BRLBTC at 1d yet: run make initial_load.",
    ),
}

NOT_MODIFIED: Final = {
    "description": "What If-None-Match names is still right.",
    "headers": SERIES_HEADERS,
}


class JsonBytes(JSONResponse):
    """JSON that is already rendered."""

    def render(self, content: bytes) -> bytes:
        """The bytes as they are."""
        return content


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


def problems(*errors: type[MmsError]) -> dict[int | str, dict[str, Any]]:
    """The documented error replies, by status, each with an example for every code.

    Besides `errors` they are a query that cannot be read or names what the request does not have.
    """
    documented: dict[int | str, dict[str, Any]] = {}
    every: tuple[type[MmsError], ...] = (InvalidParameter, UnknownParameter, *errors)
    for error in every:
        answer = answer_to(error)
        _document(documented, answer, answer.example)
        if answer.code == "upstream-unavailable":
            documented[answer.status]["headers"]["Retry-After"] = _header(
                "Seconds to wait, where what this depends on says how long.", 60
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
            "content": {PROBLEM_JSON: {"schema": Problem.model_json_schema(), "examples": {}}},
            "headers": dict(HEADERS),
        },
    )
    reply["description"] = f"{reply['description']}, `{answer.code}`".lstrip(", ")
    reply["content"][PROBLEM_JSON]["examples"][answer.code] = {
        "summary": answer.title,
        "value": problem(answer, detail, "5f0c2a9e41d3b786"),
    }


def series_parameters(query: Query) -> dict[str, Any]:
    """The pair and the query parameters of a request for a series."""
    return {"parameters": [_PAIR, *query.documented()]}
