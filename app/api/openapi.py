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

SYMBOL: Final = {
    "name": "symbol",
    "in": "path",
    "required": True,
    "description": "`BTC`, any case; `/supported-symbols` lists what is collected.",
    "schema": {"type": "string"},
    "example": "BTC",
}
_PAIR: Final = {
    "name": "pair",
    "in": "path",
    "required": True,
    "description": "`BRLBTC` or `BTC-BRL`, any case; `/pairs` lists what is served.",
    "schema": {"type": "string"},
    "example": "BRLBTC",
}

HEADERS: Final = {
    "X-Request-ID": {
        "description": "The request's id: its own X-Request-ID, or a new one.",
        "schema": {"type": "string"},
        "example": "5f0c2a9e41d3b786",
    },
    "X-Content-Type-Options": {
        "description": "The Content-Type is right.",
        "schema": {"type": "string", "enum": ["nosniff"]},
        "example": "nosniff",
    },
}
"""What every reply has."""

SERIES_HEADERS: Final = {
    **HEADERS,
    "X-Data-As-Of": {
        "description": "Newest stored bucket of the series, ISO 8601, UTC; absent where none is.",
        "schema": {"type": "string"},
        "example": "2024-03-29T00:00:00Z",
    },
    "X-Data-Stale": {
        "description": "`true` where the exchange has had a newer closed bucket for longer than an "
        "hour, or than one bucket where that is shorter; else `false`.",
        "schema": {"type": "string", "enum": ["true", "false"]},
        "example": "false",
    },
    "ETag": {
        "description": "Names this reply. Sent as If-None-Match it is answered with 304 while nothing has changed.",
        "schema": {"type": "string"},
        "example": '"0f41c2a7d95be8630f41c2a7"',
    },
    "Cache-Control": {
        "description": "A stored reply may be used after asking whether it is still right.",
        "schema": {"type": "string"},
        "example": "public, no-cache",
    },
    "Last-Modified": {
        "description": "When the series was changed last; absent where it never was.",
        "schema": {"type": "string"},
        "example": "Sat, 30 Mar 2024 00:05:02 GMT",
    },
    "X-Data-Missing": {
        "description": "How many of the asked buckets have ended and have no value.",
        "schema": {"type": "integer"},
        "example": 0,
    },
    "X-Data-Reason": {
        "description": "Only where nothing of the series is stored, or the period begins before all "
        "that can have a value: why, and what to do.",
        "schema": {"type": "string"},
        "example": "Nothing is stored for BRLBTC at 1d yet: run make initial_load.",
    },
}


NOT_MODIFIED: Final = {
    "description": "What If-None-Match names is still right.",
    "headers": SERIES_HEADERS,
}
_RETRY_AFTER: Final = {
    "description": "Seconds to wait, where what this depends on says how long.",
    "schema": {"type": "integer"},
    "example": 60,
}
_ALLOW: Final = {
    "description": "The methods that are possible here.",
    "schema": {"type": "string"},
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
            documented[answer.status]["headers"]["Retry-After"] = _RETRY_AFTER
    return documented


def wrong_method(allowed: str = "GET, HEAD") -> dict[int | str, dict[str, Any]]:
    """The documented reply to a method that an address does not have."""
    documented: dict[int | str, dict[str, Any]] = {}
    detail = f"DELETE is not possible at /example; allowed: {allowed}."
    _document(documented, of_status(405), detail)
    documented[405]["headers"]["Allow"] = {**_ALLOW, "example": allowed}
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
