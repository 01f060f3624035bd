"""Errors as replies: the one table from error class to status, and `application/problem+json`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Scope

from app.core import errors
from app.core.logging import structlog
from app.core.redaction import redacted
from app.core.seldom import Seldom

log = structlog.get_logger()

PROBLEM_JSON: Final = "application/problem+json"
_LONGEST_PATH: Final = 200
_SHOWN: Final = 40
_PAIR_AND_MORE: Final = 3
"""The parts of /btc/brl and an empty one before them; of /btc/brl/mms there are more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to one class of error.

    The detail is the error's own message, which is written for users. Where that message is for
    operators, `public` replaces it. `example` is for /docs, where nothing replaces the message.
    """

    status: int
    code: str
    title: str
    example: str = ""
    public: str | None = None


_DATABASE: Final = "The database does not answer. Try again in a few seconds."
_DATABASE_UNUSABLE: Final = (
    "The database cannot be used until an operator has acted; the service's log says why."
)
_INTERNAL: Final = "Something went wrong here, not in the request. Its id finds it in the log."
_UPSTREAM: Final = "The upstream service does not answer"
_UPSTREAM_BLOCKED: Final = (
    "The upstream service refuses requests from this service; the log says why."
)

NOT_FOUND: Final = Answer(
    404,
    "not-found",
    "There is nothing at this address",
    "There is nothing at /example; /docs lists what there is.",
)
MALFORMED: Final = Answer(
    400,
    "bad-request",
    "The request is no valid HTTP/1.1",
    "The request cannot be read: the header Host is missing.",
)
UNAUTHORIZED: Final = Answer(
    401,
    "unauthorized",
    "The request needs a key",
    "This needs an API key with the scope collect: send it as Authorization: Bearer KEY.",
)
FORBIDDEN: Final = Answer(
    403,
    "forbidden",
    "The request is not allowed",
    "The key ops does not have the scope collect.",
)
REQUEST_TIMEOUT: Final = Answer(
    408,
    "request-timeout",
    "The request did not arrive in time",
    "The request's body was not complete after 10 s.",
)
TOO_LARGE: Final = Answer(
    413,
    "too-large",
    "The request's body is too large",
    "The request's body is too large: at most 16,384 bytes are read.",
)
MISDIRECTED: Final = Answer(
    421,
    "misdirected",
    "The API is not published under this name",
    "The API is not published as 'example.com': its operator lists its names in the setting "
    "ALLOWED_HOSTS.",
)
RATE_LIMITED: Final = Answer(
    429,
    "rate-limited",
    "Too many requests",
    "192.0.2.7 has sent as many requests as one client may (600/minute): try again in 4 s.",
)
HEADER_TOO_LARGE: Final = Answer(
    431,
    "header-too-large",
    "The request's head is too large",
    "The request has 101 headers; at most 100 are read.",
)
INTERNAL: Final = Answer(500, "internal", "An error of ours", public=_INTERNAL)

FROM_THE_EDGE: Final = (
    MALFORMED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    MISDIRECTED,
    RATE_LIMITED,
    HEADER_TOO_LARGE,
)
"""What may be answered at any address, before anything there can raise."""

ANSWERS: Final[Mapping[type[errors.MmsError], Answer]] = {
    errors.UnsupportedPair: Answer(
        400,
        "unsupported-pair",
        "The pair is not served",
        "'BRLXYZ' is not served: use one of BRLBTC, BRLETH (or BTC-BRL, ETH-BRL). The operator of "
        "this service can add XYZ-BRL to ALLOWED_PAIRS.",
    ),
    errors.UnsupportedRange: Answer(
        400,
        "unsupported-range",
        "The window is not computed",
        "range=21 is not computed: use one of 20, 50, 200.",
    ),
    errors.UnsupportedInterval: Answer(
        400,
        "unsupported-interval",
        "The interval is not served",
        "interval='2d' is not served: use one of 1d. The service can have 1m, 15m, 1h, 3h, 1d, and no "
        "others.",
    ),
    errors.UnsupportedSymbol: Answer(
        400,
        "unsupported-symbol",
        "The symbol's price is not collected",
        "Unsupported symbol 'DOGE': use one of BTC, ETH, SOL, ADA, DOT. The operator of this service "
        "can add it to ALLOWED_SYMBOLS, as DOGE:coingecko-id.",
    ),
    errors.ReversedPeriod: Answer(
        400,
        "reversed-period",
        "The period ends before it begins",
        "The period is reversed: from (2024-03-29T00:00:00Z) lies after to "
        "(2024-01-01T23:59:59Z). Swap them.",
    ),
    errors.InvalidParameter: Answer(
        422,
        "invalid-parameter",
        "A parameter cannot be understood",
        "The query is 2,100 bytes long; at most 2,048 are read.",
    ),
    errors.UnknownParameter: Answer(
        422,
        "unknown-parameter",
        "The request has no such parameter",
        "'x' is no parameter of this request.",
    ),
    errors.RepeatedParameter: Answer(
        422,
        "repeated-parameter",
        "A parameter is given more than once",
        "interval is given more than once: give it once.",
    ),
    errors.NotAcceptable: Answer(
        406,
        "not-acceptable",
        "There is no such format here",
        "Accept names no format that this reply has: use application/json.",
    ),
    errors.Overloaded: Answer(
        503,
        "overloaded",
        "Too many heavy reads at a time",
        "Another heavy read is running, and this one had no turn within 1 s: try again.",
    ),
    errors.UpstreamUnavailable: Answer(
        503,
        "upstream-unavailable",
        _UPSTREAM,
        "api.coingecko.com asks to wait (429): try again in 60 s.",
    ),
    errors.BudgetSpent: Answer(
        429,
        "rate-limited",
        "The month's calls are spent",
        "Of this month's 10,000 calls to api.coingecko.com, 1,071 are spent and 8,929 are reserved "
        "for the collector: read /history, or try again next month (UTC). The operator's settings "
        "are COINGECKO_MONTHLY_CALLS and PRICE_POLL_SECONDS.",
    ),
    errors.OutOfTurn: Answer(
        429,
        "rate-limited",
        "The upstream service cannot be asked yet",
        "The next free turn at api.coingecko.com comes in 4.0 s, which is longer than this request "
        "can wait: try again then.",
    ),
    errors.UpstreamBlocked: Answer(
        503, "upstream-unavailable", _UPSTREAM, public=_UPSTREAM_BLOCKED
    ),
    errors.ProxyRefused: Answer(
        503,
        "upstream-unavailable",
        "The proxy before the upstream service refuses",
        public="The proxy between this service and the upstream one refuses; the operator's log says "
        "what to correct.",
    ),
    errors.UpstreamRejected: Answer(
        503, "upstream-unavailable", _UPSTREAM, public=_UPSTREAM_BLOCKED
    ),
    errors.UpstreamNonsense: Answer(503, "upstream-unavailable", _UPSTREAM),
    errors.PriceScaleChanged: Answer(503, "upstream-unavailable", _UPSTREAM),
    errors.StoreUnavailable: Answer(
        503, "database-unavailable", "The database is unavailable", public=_DATABASE
    ),
    errors.StoreUnusable: Answer(
        503, "database-unavailable", "The database is unavailable", public=_DATABASE_UNUSABLE
    ),
    errors.ConfigurationError: INTERNAL,
    errors.TakenByAnother: INTERNAL,
    errors.UnrepresentablePrice: INTERNAL,
}
"""Every concrete error of `app.core.errors`. Any other error is INTERNAL."""


_WARNINGS: Final[Mapping[type[errors.MmsError], str]] = {
    errors.Overloaded: "overloaded",
    errors.BudgetSpent: "price_budget_spent",
    errors.UpstreamUnavailable: "upstream_unavailable",
}
"""Errors that are logged as warnings, with the event of each."""


def of_status(status: int) -> Answer:
    """The answer for a status that the framework chose."""
    phrase = HTTPStatus(status).phrase
    return Answer(status, phrase.lower().replace(" ", "-"), phrase)


def answer_to(error: type[BaseException]) -> Answer:
    """The answer to this class of error."""
    return next((ANSWERS[each] for each in error.__mro__ if each in ANSWERS), INTERNAL)


def problem(answer: Answer, detail: str, request_id: str) -> dict[str, Any]:
    """The body of an error reply, RFC 9457 with `code` and `request_id` beside its members."""
    return {
        "type": f"urn:mms-api:error:{answer.code}",
        "title": answer.title,
        "status": answer.status,
        "detail": answer.public or detail,
        "code": answer.code,
        "request_id": request_id,
    }


def problem_body(answer: Answer, detail: str, request_id: str) -> bytes:
    """The body of an error reply as it is sent."""
    text = json.dumps(problem(answer, detail, request_id), separators=(",", ":"))
    return redacted(text).encode() + b"\n"


def reply(
    scope: Scope, answer: Answer, detail: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """The error reply to the request of `scope`."""
    body = problem_body(answer, detail, scope["state"]["request_id"])
    return Response(body, answer.status, dict(headers or {}), PROBLEM_JSON)


def shortened(text: str) -> str:
    """What a client sent, short enough to be repeated in a message."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def handle_errors(app: FastAPI) -> None:
    """Let `app` answer our own errors, unknown paths and wrong methods as problems.

    Any other error is answered with INTERNAL, and reaches `app.api.edge`, which logs it. Of ours,
    those that are answered with 5xx are logged, and BudgetSpent: each kind once a minute.
    """
    seldom = Seldom()

    async def of_ours(request: Request, error: Exception) -> Response:
        return _of_ours(request, error, seldom)

    app.add_exception_handler(errors.MmsError, of_ours)
    app.add_exception_handler(HTTPException, _of_routing)
    app.add_exception_handler(Exception, _of_crash)


def _of_ours(request: Request, error: Exception, seldom: Seldom) -> Response:
    answer = answer_to(type(error))
    if isinstance(error, errors.BudgetSpent) or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log(answer, error, seldom)
    headers = {}
    if isinstance(error, errors.Overloaded | errors.BudgetSpent | errors.UpstreamUnavailable):
        seconds = error.retry_after
        if seconds is not None:
            headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    return reply(request.scope, answer, str(error), headers)


def _log(answer: Answer, error: Exception, seldom: Seldom) -> None:
    """Log an error, unless its like has been logged within the last minute.

    What clients or a busy upstream cause is a warning, under a name of its own: nobody has to get
    up for it. What an operator must mend is an error.
    """
    problem = str(error)
    event = next((name for kind, name in _WARNINGS.items() if isinstance(error, kind)), None)
    # A warning has one line, whatever its words: the numbers in them change with each request.
    times = seldom.due((answer.code, problem) if event is None else event)
    if times is None:
        return
    if event is not None:
        log.warning(event, problem=problem, times=times)
        return
    log.error(
        "request_failed",
        code=answer.code,
        problem=problem,
        times=times,
        exc_info=error if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR else None,
    )


# Coroutines, because plain functions would go through the thread pool for nothing.
async def _of_crash(request: Request, _error: Exception) -> Response:
    return reply(request.scope, INTERNAL)


async def _of_routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    answer = of_status(error.status_code)
    path = quote(request.scope["path"], errors="replace")
    if len(path) > _LONGEST_PATH:
        path = f"{path[:_LONGEST_PATH]}…"
    if error.status_code == HTTPStatus.NOT_FOUND:
        answer = NOT_FOUND
        context, root = request.state.context, request.scope.get("root_path", "")
        leads_on = f"; {root}/docs lists what there is." if context.has_docs else "."
        parts = request.scope["path"].removeprefix(root).split("/")
        meant = context.meant_pair("/".join(parts[1:3])) if len(parts) > _PAIR_AND_MORE else None
        if meant is not None:
            leads_on += f" Did you mean the pair {meant} (or {meant.symbol})?"
        detail = f"There is nothing at {path}{leads_on}"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # HEAD works wherever GET does (`app.api.middleware`), but the router does not know that.
        methods = set(headers.get("Allow", "").split(", "))
        allowed = ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
        headers["Allow"] = allowed
        detail = f"{request.method} is not possible at {path}; allowed: {allowed}."
    else:
        detail = f"{error.detail}."
    return reply(request.scope, answer, detail, headers)
