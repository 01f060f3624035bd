"""What each read says about its data, and the reply to a client that has it already.

The ETag names the revision and the buckets that were asked for, so it changes with every change of the
body and, for a period that ends now, with every new bucket. After a hyphen it holds how many of them are
missing: so a reply of 304 can say it, too, in any process and without reading anything.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from hashlib import blake2b
from typing import Final

from fastapi import Response

from app.api.openapi import JsonBytes
from app.core.market import SeriesState, Window
from app.core.ports import AverageStore
from app.services.averages import Asked, Reading, why_absent
from app.services.gaps import is_stale
from app.utils.days import iso
from app.utils.revisions import changed_at

# A stored reply may be used only after asking whether it is still right; asking costs little.
_CACHING: Final = "public, no-cache"
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')
_MISSING: Final = re.compile(r'"[0-9a-f]+-([0-9]{1,12})"', re.ASCII)


def answered(
    kind: str, asked: Asked, found: Reading, if_none_match: str | None, window: Window | None = None
) -> Response:
    """The reply with what was read, or that the client holds it.

    `kind` is the endpoint with what else shapes the body; `window` that of the averages, if any.
    """
    tag = _etag(kind, asked, found.state.revision, found.missing)
    if _is_held(if_none_match, tag):
        return _unmodified(asked, found.state, tag, found.missing, window)
    return JsonBytes(found.body, headers=_headers(asked, found.state, tag, found.missing, window))


def held(
    kind: str, asked: Asked, averages: AverageStore, if_none_match: str | None
) -> Response | None:
    """The reply to a client that holds what a read would give; None where it takes the read to tell.

    For reads that are not cached themselves: the revision is, and tells whether they can be saved. They
    cannot where a client names no tag but `*`, because nothing else knows how much is missing.
    """
    tags = [(tag, _MISSING.fullmatch(tag)) for tag in _TAG.findall(if_none_match or "")]
    if not tags:
        return None
    state = averages.state(asked.pair, asked.interval)
    for tag, said in tags:
        # What the tag says counts only where it is, as a whole, the one that we gave.
        if said and tag == _etag(kind, asked, state.revision, int(said[1])):
            return _unmodified(asked, state, tag, int(said[1]))
    return None


def _etag(kind: str, asked: Asked, revision: int, missing: int) -> str:
    """The entity tag of one representation."""
    last = min(asked.last, asked.closed)
    named = f"{kind} {asked.pair.symbol} {asked.interval} {asked.first} {last} {revision} {missing}"
    return f'"{blake2b(named.encode(), digest_size=12).hexdigest()}-{missing}"'


def _unmodified(
    asked: Asked, state: SeriesState, tag: str, missing: int, window: Window | None = None
) -> Response:
    return Response(status_code=304, headers=_headers(asked, state, tag, missing, window))


def _headers(
    asked: Asked, state: SeriesState, tag: str, missing: int, window: Window | None
) -> dict[str, str]:
    """The headers of a read, also of one that is not modified; of averages over `window`, if any."""
    headers = {
        "ETag": tag,
        "Cache-Control": _CACHING,
        "X-Data-Stale": "true" if is_stale(state, asked.interval, asked.now) else "false",
        "X-Data-Missing": str(missing),
    }
    if state.revision:
        headers["Last-Modified"] = formatdate(changed_at(state.revision), usegmt=True)
    if state.last is not None:
        headers["X-Data-As-Of"] = iso(state.last)
    reason = why_absent(asked, state, window)
    if reason is not None:
        headers["X-Data-Reason"] = reason
    return headers


def _is_held(if_none_match: str | None, tag: str) -> bool:
    """Whether the client's If-None-Match (RFC 9110, 13.1.2) names this representation."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in _TAG.findall(if_none_match)
