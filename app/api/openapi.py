"""What /docs says about each request: its parameters, and an example for every reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi.responses import JSONResponse

from app.api.errors import PROBLEM_JSON, answer_to, problem
from app.api.query import Query
from app.core.errors import (
    InvalidParameter,
    MmsError,
    RepeatedParameter,
    ReversedPeriod,
    StoreUnavailable,
    UnknownParameter,
    UnsupportedInterval,
    UnsupportedPair,
    UnsupportedRange,
    UnsupportedSymbol,
)
from app.schemas.replies import Problem

SERIES_ERRORS: Final = (
    UnsupportedPair,
    UnsupportedRange,
    UnsupportedInterval,
    ReversedPeriod,
    InvalidParameter,
    UnknownParameter,
    RepeatedParameter,
    StoreUnavailable,
)

PRICE_ERRORS: Final = (
    UnsupportedSymbol,
    InvalidParameter,
    UnknownParameter,
    RepeatedParameter,
    StoreUnavailable,
)

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

SERIES_HEADERS: Final = {
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
        "description": "Send it as If-None-Match, and a reply that has not changed is a 304.",
        "schema": {"type": "string"},
        "example": '"0f41c2a7d95be8630f41c2a7-0"',
    },
    "X-Data-Missing": {
        "description": "How many of the asked buckets have ended and have no value.",
        "schema": {"type": "integer"},
        "example": 0,
    },
    "X-Data-Reason": {
        "description": "Only where nothing of the series is stored: why, and what to do.",
        "schema": {"type": "string"},
        "example": "Nothing is stored for BRLBTC at 1d yet: run make initial_load.",
    },
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
    documented: dict[str, Any] = {
        "description": description,
        "model": model,
        "content": {"application/json": {"example": example}},
    }
    if headers:
        documented["headers"] = headers
    return documented


def problems(errors: Sequence[type[MmsError]]) -> dict[int | str, dict[str, Any]]:
    """The documented error replies, by status, each with an example for every code."""
    documented: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        answer = answer_to(error)
        reply = documented.setdefault(
            answer.status,
            {
                "description": "",
                "content": {PROBLEM_JSON: {"schema": Problem.model_json_schema(), "examples": {}}},
            },
        )
        reply["description"] = f"{reply['description']}, `{answer.code}`".lstrip(", ")
        reply["content"][PROBLEM_JSON]["examples"][answer.code] = {
            "summary": answer.title,
            "value": problem(answer, answer.example, "5f0c2a9e41d3b786"),
        }
    return documented


def series_parameters(query: Query) -> dict[str, Any]:
    """The pair and the query parameters of a request for a series."""
    return {"parameters": [_PAIR, *query.documented()]}
