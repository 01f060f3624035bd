"""The smoke test: what someone who uses the service would notice first.

It asks over HTTP, through the load balancer: whether the service is ready, which pairs it serves,
and the averages of every pair. It checks their headers, order, repetition and arithmetic. The
newest average is computed anew from the candles of its window, and must equal the published number.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from infra.deploy.errors import CannotStart, Failed
from infra.deploy.model import Pace

WINDOW: Final = 20
_PLACES: Final = Decimal("0.00000001")
_BIGGEST: Final = 8_000_000
_FIRST_PATIENCE: Final = 60.0


@dataclass(frozen=True)
class Reply:
    """Status, headers by lower-case name, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Ask = Callable[[str, Mapping[str, str]], Reply]
"""Path and headers to the reply; raises OSError where none came."""


def asker(base: str, key: str = "", seconds: float = 10.0) -> Ask:
    """Ask a service at `base`, with an API key if there is one, following nothing.

    Raises CannotStart where `base` is no web address, or would show the key to others on the way.
    """
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https"):
        raise CannotStart(f"{base!r} is no address of a service: write http://… or https://…")
    if key and parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise CannotStart("DEPLOY_KEY would be sent without TLS: give an address with https://")
    own = {"Authorization": f"Bearer {key}"} if key else {}

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object, **__: object) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay())

    def ask(path: str, headers: Mapping[str, str]) -> Reply:
        url = base.rstrip("/") + path
        given = {**own, **headers}
        request = urllib.request.Request(url, headers=given)  # noqa: S310 - checked above
        try:
            with opener.open(request, timeout=seconds) as reply:
                return _reply(reply.status, reply.headers.items(), reply.read(_BIGGEST))
        except urllib.error.HTTPError as refused:
            with refused:
                return _reply(refused.code, refused.headers.items(), refused.read(_BIGGEST))
        except HTTPException as error:
            raise ConnectionError(f"no HTTP reply: {error!r}") from error

    return ask


def _reply(status: int, headers: Any, body: bytes) -> Reply:
    return Reply(status, {name.lower(): value for name, value in headers}, body)


def check_service(ask: Ask, pace: Pace, tell: Callable[[str], None]) -> None:
    """Check the service; raises Failed, which names the request and what is wrong with its reply.

    Only the first question is repeated, for a minute: a load balancer takes a moment to notice. A
    service that answers some requests and not others has failed.
    """
    try:
        _check(ask, pace, tell)
    except (KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise Failed(f"smoke test: a reply is not of its form: {error!r}") from error


def _check(ask: Ask, pace: Pace, tell: Callable[[str], None]) -> None:
    ready = _first(ask, pace)
    tell(f"GET /readyz 200: {ready.get('data', '?')} data, cache {ready.get('cache', '?')}")
    pairs = _json(ask, "/pairs").get("pairs")
    _require(isinstance(pairs, list) and bool(pairs), "/pairs", "it names no pair")
    for item in pairs:
        tell(_check_series(ask, str(item["pair"]), str(item["interval"]), item.get("as_of")))


def _first(ask: Ask, pace: Pace) -> dict[str, Any]:
    began = pace.now()
    while True:
        try:
            reply = ask("/readyz", {})
            if reply.status == 200:
                return dict(_body("/readyz", reply))
            problem = f"status {reply.status}: {_shown(reply)}"
        except OSError as error:
            problem = f"no reply: {error}"
        if pace.now() - began > _FIRST_PATIENCE:
            raise Failed(f"smoke test: GET /readyz: {problem}")
        pace.sleep(min(pace.every, 2.0))


def _check_series(ask: Ask, pair: str, interval: str, as_of: str | None) -> str:
    path = f"/{pair}/mms?range={WINDOW}&interval={interval}"
    reply = _ok(ask, path)
    rows = _body(path, reply)
    _require(isinstance(rows, list), path, "the body is no list")
    for name in ("etag", "x-data-stale", "x-data-missing"):
        _require(name in reply.headers, path, f"the header {name} is missing")
    _require(reply.headers["x-data-missing"].isdigit(), path, "X-Data-Missing is no number")
    again = ask(path, {"If-None-Match": reply.headers["etag"]})
    # A load in between changes the series; then there is a new ETag instead of a 304.
    unchanged = again.status == 304 or again.headers.get("etag") != reply.headers["etag"]
    _require(unchanged, path, f"a repetition with its ETag gives {again.status}, not 304")
    if as_of is None:
        _require(not rows, path, "/pairs says that nothing is stored, and yet there are rows")
        return f"GET {path} 200: nothing is stored yet ({reply.headers.get('x-data-reason', '?')})"
    _require("x-data-as-of" in reply.headers, path, "the header x-data-as-of is missing")
    stamps = [row["timestamp"] for row in rows]
    _require(stamps == sorted(set(stamps)), path, "the rows do not ascend")
    if rows:
        _check_newest(ask, pair, interval, rows[-1])
    missing, stale = reply.headers["x-data-missing"], reply.headers["x-data-stale"]
    return f"GET {path} 200: {len(rows)} rows, {missing} missing, stale {stale}, newest recomputed"


def _check_newest(ask: Ask, pair: str, interval: str, row: Mapping[str, Any]) -> None:
    """Compute the newest average anew, from the candles that the service itself shows."""
    newest = row["timestamp"]
    path = f"/{pair}/candles?interval={interval}&to={newest}&windows={WINDOW}"
    candles = [each for each in _json(ask, path) if each["timestamp"] <= newest][-WINDOW:]
    closes = [Decimal(each["close"]) for each in candles]
    _require(len(closes) == WINDOW, path, f"{len(closes)} candles for a window of {WINDOW}")
    mean = (sum(closes, Decimal(0)) / WINDOW).quantize(_PLACES, ROUND_HALF_EVEN)
    shown = Decimal(row["mms"])
    _require(mean == shown, path, f"the newest average should be {mean}, and {shown} is published")


def _ok(ask: Ask, path: str) -> Reply:
    try:
        reply = ask(path, {})
    except OSError as error:
        raise Failed(f"smoke test: GET {path}: no reply: {error}") from error
    _require(reply.status == 200, path, f"status {reply.status}: {_shown(reply)}")
    return reply


def _json(ask: Ask, path: str) -> Any:
    return _body(path, _ok(ask, path))


def _body(path: str, reply: Reply) -> Any:
    try:
        return json.loads(reply.body, parse_float=Decimal)
    except ValueError as error:
        raise Failed(f"smoke test: GET {path}: the body is no JSON: {error}") from error


def _require(holds: bool, path: str, problem: str) -> None:
    if not holds:
        raise Failed(f"smoke test: GET {path}: {problem}")


def _shown(reply: Reply) -> str:
    return reply.body[:200].decode("utf-8", "replace")
