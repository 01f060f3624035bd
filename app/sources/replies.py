"""What a host's reply means: pure, so that every case is a line in a table of tests.

The order of judgement: a redirect; an error in the body (a host's own words are more precise than
a status, and some send them with 200); the status; a page of HTML; the JSON. What the body is
decides whether it is a page, not its label: some hosts label JSON `text/html`.

JSON is read as RFC 8259 means it, and no number passes through a binary float. Python's own reader
accepts repeated keys, and turns `353446.62655678` into a float. From an exchange, the first is
nonsense, and the second would cost the price its digits. `NaN` and `Infinity` are no JSON, but a
reply may hold one where nobody needs a number: so they are kept as text, which is no number.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from app.core.errors import (
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.core.market import OLDEST_BUCKET
from app.sources.retry import parse_http_date, parse_retry_after

# 403 and 451 (unavailable for legal reasons) are about the client, not about the request.
_BLOCKS: Final = frozenset({403, 451})
# Temporary, as every 5xx is: request time-out, and too many requests.
_WAITS: Final = frozenset({408, 429})
_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_NEWEST_TIME: Final = 4_102_444_800  # 2100-01-01: a later `Date` is a mistake of its sender
_NO_CONTENT: Final = 204
# A header that came twice arrives joined by commas, and an HTTP date has a comma of its own.
_BETWEEN_DATES: Final = re.compile(r",\s*(?=[A-Za-z])")
_AGE: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RawReply:
    """A reply as it came. `headers` have lower-case names.

    `body` is None where it could not be read; `problem` then says why, and `cut` whether it ended
    early. `delimited` says that the end of the body was marked, so that a cut would be noticed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    delimited: bool = True
    problem: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A trustworthy answer.

    `data` is what `loads` returns; an empty list where the reply has no content (204).
    `server_time` is the host's clock in unix seconds, from the `Date` header; None where that is
    absent or implausible. A cache stamps a stored body anew, and says in the `Age` header how many
    seconds ago the body was made: `age`, else 0. So the body was made at `server_time` - `age`
    (RFC 9111, 5.1).
    """

    data: Any
    server_time: int | None
    age: int = 0


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The error that a JSON body describes.

    `status` is an HTTP status that the body names, `means` the error class that the host's own code
    stands for; each is None where the body says nothing of it. `advice` is what to do: it replaces
    the usual end of the message of a wait or a refusal.
    """

    code: str = ""
    message: str = ""
    status: int | None = None
    means: type[UpstreamError] | None = None
    advice: str = ""


ErrorReader = Callable[[object], ErrorBody | None]
"""Reads one host's error bodies: takes parsed JSON, returns None where it is no error body.

A body of plain text comes as a `str`, as a JSON string does.
"""


def read_common_error(data: object) -> ErrorBody | None:
    """Recognise the error bodies that many APIs share.

    `{"code": "…", "message": "…"}`, `{"error": "…"}`, `{"error": {"code": …, "message": "…"}}` and
    `{"status": 503, …}`.
    """
    if not isinstance(data, dict):
        return None
    error = _said(data.get("error"))
    inner = error if isinstance(error, dict) else data
    code, message = _said(inner.get("code")), inner.get("message")
    status = next(
        (s for s in (inner.get("status"), code, data.get("status")) if _is_error(s)), None
    )
    if not (error or status or (isinstance(code, str) and code)):
        return None
    return ErrorBody(
        code=str(code) if isinstance(code, str | int) else "",
        message=next((text for text in (message, error) if isinstance(text, str)), ""),
        status=status,
    )


def _said(value: Any) -> Any:
    """The value, or None for NaN and other numbers that are neither a code nor a message."""
    return None if isinstance(value, DecimalText) else value


def judge(raw: RawReply, host: str, read_error: ErrorReader, now: float) -> Reply:
    """Turn a raw reply into a Reply, or raise the UpstreamError that says what it means.

    `now`, in unix seconds, is used only where the reply has no `Date`.
    """
    if 300 <= raw.status < 400:
        raise UpstreamNonsense(_redirected(raw, host), host=host)
    data, refusal = _parsed(raw)
    error = read_error(data if refusal is None else _plain_text(raw))
    status = raw.status
    if error is not None and error.status is not None and status < 400:
        status = error.status
    if error is not None or status >= 400:
        words = error or ErrorBody(message="" if refusal is None else _plain_text(raw))
        raise _error(raw, host, status, words, now)
    if _is_html(raw) and not _has_no_content(raw):
        raise _blocked(host, f"{status}, a page of HTML")
    if refusal is not None or not 200 <= status < 300:
        raise _unreadable(raw, host, refusal)
    server_time = _server_time(raw)
    return Reply(data, server_time, _age(raw, now if server_time is None else server_time))


def plausible_time(value: object) -> int | None:
    """`value` where it is plausible as a present time in unix seconds, else None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if OLDEST_BUCKET <= value <= _NEWEST_TIME else None
    return None


def printable(text: str, limit: int = 200) -> str:
    """`text` from outside, made safe for logs and terminals: one bounded line, no control codes."""
    shown = "".join(char if char.isprintable() else " " for char in text[:limit])
    return " ".join(shown.split()) + ("…" if len(text) > limit else "")


def _error(raw: RawReply, host: str, status: int, error: ErrorBody, now: float) -> UpstreamError:
    # Some hosts repeat the status as their own code.
    code = "" if error.code == str(status) else error.code
    words = ": ".join(printable(part) for part in (code, error.message) if part)
    shown = f"{status} {words}".rstrip()
    if error.means is not None:
        means = error.means
    elif status in _WAITS or status >= 500:
        # Before the check for HTML: gateways and CDNs send a 429 or 5xx as a page, and it is still
        # a wait.
        means = UpstreamUnavailable
    elif status in _BLOCKS or _is_html(raw):
        means = UpstreamBlocked
    else:
        means = UpstreamRejected
    if issubclass(means, UpstreamUnavailable):
        wait = parse_retry_after(raw.headers.get("retry-after"), _server_time(raw) or now)
        advice = error.advice or f"try again {'later' if wait is None else f'in {wait:.0f} s'}"
        return means(f"{host} cannot answer now ({shown}): {advice}.", host=host, retry_after=wait)
    if issubclass(means, UpstreamBlocked):
        return _blocked(host, f"{shown}, a page of HTML" if _is_html(raw) else shown)
    advice = error.advice or "the request must change"
    return means(f"{host} rejects this request ({shown}): {advice}.", host=host)


def _blocked(host: str, shown: str) -> UpstreamBlocked:
    return UpstreamBlocked(
        f"{host} refuses this client ({shown}): it is not asked again. Ask the host's operator for "
        "access from this address, or choose another source.",
        host=host,
    )


def _unreadable(raw: RawReply, host: str, refusal: ValueError | None) -> UpstreamError:
    """The error of a 2xx reply whose body is no JSON to trust, or of a status without a meaning."""
    if raw.cut or (isinstance(refusal, JsonBroken) and _may_be_cut(raw)):
        return UpstreamUnavailable(
            f"{host} broke off its reply ({raw.problem or refusal}): try again later.", host=host
        )
    words = printable(_plain_text(raw), 100)
    reason = f"{refusal or 'this status is not understood'}{f' ({words})' if words else ''}"
    return UpstreamNonsense(
        f"{host} answered {raw.status} with something unreadable: {reason}. Nothing of it is used; "
        "check the base URL.",
        host=host,
    )


def _may_be_cut(raw: RawReply) -> bool:
    """Without a marked end, a cut body looks like a short one; but it begins as JSON."""
    return not raw.delimited and (raw.body or b"").lstrip()[:1] in (b"{", b"[", b"")


def _parsed(raw: RawReply) -> tuple[Any, ValueError | None]:
    if _has_no_content(raw):
        return [], None
    if raw.body is None:
        return None, JsonRefused(raw.problem)
    try:
        return loads(raw.body), None
    except JsonRefused as error:
        return None, error


def _has_no_content(raw: RawReply) -> bool:
    return raw.status == _NO_CONTENT and not raw.body


def _is_html(raw: RawReply) -> bool:
    """Whether the body is a page of HTML, or is labelled so and is no JSON either."""
    start = (raw.body or b"").lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    kind = raw.headers.get("content-type", "").partition(";")[0].strip().lower()
    if start == b"<" or kind not in _HTML:
        return start == b"<"
    return start not in (b"{", b"[") and _parsed(raw)[1] is not None


def _plain_text(raw: RawReply) -> str:
    """An error as plain text, as some hosts send it; empty for HTML and JSON."""
    if raw.body is None or _is_html(raw) or raw.body.lstrip()[:1] in (b"{", b"["):
        return ""
    return raw.body[:1_000].decode("utf-8", errors="replace")


def _redirected(raw: RawReply, host: str) -> str:
    # Only the host is named: the rest of a location may hold tokens, and is of no use here.
    try:
        target = urlsplit(raw.headers.get("location", "")).hostname
    except ValueError:
        target = None
    where = f"to {printable(target, 100)}" if target else "elsewhere"
    return (
        f"{host} redirects {where} ({raw.status}), and redirects are not followed: set the base URL "
        "to the address that answers itself."
    )


def _server_time(raw: RawReply) -> int | None:
    """The time in `Date`; of several plausible ones the oldest."""
    dates = _BETWEEN_DATES.split(raw.headers.get("date", ""))
    times = (plausible_time(parse_http_date(date)) for date in dates)
    return min((time for time in times if time is not None), default=None)


def _age(raw: RawReply, now: float) -> int:
    """The seconds in `Age`, of several the most. What dates from before all trading is no age."""
    values = (value.strip() for value in raw.headers.get("age", "").split(","))
    ages = (int(value) for value in values if _AGE.fullmatch(value))
    return max((age for age in ages if age <= now - OLDEST_BUCKET), default=0)


def _is_error(status: object) -> bool:
    return isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600


_LONGEST_INT: Final = 100
"""Digits of the longest number that becomes an `int`: Python renders only 4,300 of them."""


class DecimalText(str):
    """A JSON number that is no `int` here, as the characters that were sent.

    It has a fraction or an exponent, or very many digits, or is `NaN`, `Infinity` or `-Infinity`.
    """

    __slots__ = ()


class JsonRefused(ValueError):
    """The text is more or less JSON, but holds something that cannot be trusted."""


class JsonBroken(JsonRefused):
    """The text is not a JSON document; one that was cut off in transfer ends up here as well."""


def loads(body: bytes) -> Any:
    """Parse one JSON document in UTF-8.

    Whole numbers become `int`, all other numbers DecimalText. Raises JsonBroken for text that is no
    JSON, and JsonRefused for a repeated key and for what is too deeply nested for Python.
    """
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_float=DecimalText,
            parse_int=_integer,
            parse_constant=DecimalText,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise JsonBroken(f"it is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise JsonBroken(f"it is not JSON at character {error.pos}: {error.msg}") from error
    except RecursionError as error:
        raise JsonRefused("it is nested too deeply") from error


def _integer(digits: str) -> int | DecimalText:
    return int(digits) if len(digits) <= _LONGEST_INT else DecimalText(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = next(key for key, count in Counter(k for k, _ in pairs).items() if count > 1)
        raise JsonRefused(f"an object holds the key {twice[:40]!r} twice")
    return result
