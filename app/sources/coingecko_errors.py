"""What CoinGecko's error bodies mean. They come in several shapes, and some of them with HTTP 200.

`{"status": {"error_code": 429, "error_message": "…"}}`, the same under `"error"`,
`{"error_code": 10010, "status": {"error_message": "…"}}`, `{"error": "…"}`, and plain words. The
codes are CoinGecko's own (docs.coingecko.com/docs/errors-and-rate-limits), but for 10006, which
that page leaves out and clients have met once a month's calls were spent.
"""

from __future__ import annotations

import re
from typing import Any, Final

from app.core.errors import UpstreamBlocked, UpstreamError, UpstreamRejected, UpstreamUnavailable
from app.sources.replies import ErrorBody, read_common_error

_KEY, _BASE_URL = "COINGECKO_API_KEY", "COINGECKO_API_BASE_URL"

_MEANINGS: Final[dict[str, tuple[type[UpstreamError], str]]] = {
    "429": (UpstreamUnavailable, ""),
    "1020": (UpstreamBlocked, ""),
    "10002": (
        UpstreamRejected,
        f"set {_KEY} to a key that is valid at the host in {_BASE_URL}",
    ),
    "10005": (
        UpstreamRejected,
        f"the plan of {_KEY} does not include this; set {_BASE_URL} and {_KEY} to those of one "
        "that does",
    ),
    "10006": (
        UpstreamUnavailable,
        f"the month's calls of {_KEY} are spent; raise PRICE_POLL_SECONDS, or use a larger plan",
    ),
    "10010": (
        UpstreamRejected,
        f"a pro key in {_KEY} needs {_BASE_URL}=https://pro-api.coingecko.com/api/v3, and this "
        "host takes only a demo key",
    ),
    "10011": (
        UpstreamRejected,
        f"a demo key in {_KEY} needs {_BASE_URL}=https://api.coingecko.com/api/v3, and this host "
        "takes only a pro key",
    ),
}
_STATUS: Final = re.compile(r"[45][0-9]{2}", re.ASCII)
_TOO_OFTEN: Final = re.compile(r"throttl|rate.?limit|too many requests", re.IGNORECASE)


def read_error(data: object) -> ErrorBody | None:
    """Recognise every shape above; an ErrorReader.

    A price reply is none of them, not even that of the coin whose id is `status`.
    """
    if isinstance(data, str):
        found = ErrorBody(message=data) if _too_often(data) else None
    elif isinstance(data, dict):
        found = _coded(data) or read_common_error(data)
    else:
        found = None
    if found is None:
        return None
    means, advice = _MEANINGS.get(found.code, (None, ""))
    status = found.status
    if means is None and status is None and _too_often(found.message):
        # As a status, not as a meaning: the reply's own, where it is an error's, says it better.
        status = 429
    return ErrorBody(found.code, found.message, status, means, advice)


def _coded(data: dict[str, Any]) -> ErrorBody | None:
    """The shapes with CoinGecko's own `error_code` or `error_message`."""
    error = data.get("error")
    said = error if isinstance(error, dict) else data
    if isinstance(said.get("status"), dict):
        said = said | said["status"]
    code, message = said.get("error_code"), said.get("error_message")
    usable = isinstance(code, int | str) and not isinstance(code, bool) and code
    code, message = str(code) if usable else "", message if isinstance(message, str) else ""
    if not (code or message):
        return None
    return ErrorBody(code, message, int(code) if _STATUS.fullmatch(code) else None)


def _too_often(words: str) -> bool:
    """Whether the words say that this client asks too often."""
    return _TOO_OFTEN.search(words) is not None
