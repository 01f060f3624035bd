"""What each read says about its data, and the reply to a client that has it already.

The ETag names the revision and the buckets that were asked for, so it changes with every change of the
body and, for a period that ends now, with every new bucket.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from hashlib import blake2b
from typing import Final

from fastapi import Response

from app.api.openapi import JsonBytes
from app.core.market import Window
from app.domain.revisions import changed_at
from app.domain.times import iso
from app.services.averages import Asked, Reading, why_absent
from app.services.gaps import is_stale

# A stored reply may be used only after asking whether it is still right; asking costs little.
_CACHING: Final = "public, no-cache"
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')


def answered(
    kind: str, asked: Asked, found: Reading, if_none_match: str | None, window: Window | None = None
) -> Response:
    """The reply with what was read, or that the client holds it.

    `kind` is the endpoint with what else shapes the body; `window` that of the averages, if any.
    """
    tag = _etag(kind, asked, found)
    headers = _headers(asked, found, tag, window)
    if _is_held(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    return JsonBytes(found.body, headers=headers)


def _etag(kind: str, asked: Asked, found: Reading) -> str:
    """The entity tag of one representation."""
    period = f"{asked.first} {min(asked.last, asked.closed)}"
    named = f"{kind} {asked.series.pair.symbol} {asked.series.interval} {period}"
    named = f"{named} {found.state.revision} {found.missing}"
    return f'"{blake2b(named.encode(), digest_size=12).hexdigest()}"'


def _headers(asked: Asked, found: Reading, tag: str, window: Window | None) -> dict[str, str]:
    """The headers of a read, also of one that is not modified; of averages over `window`, if any."""
    state = found.state
    headers = {
        "ETag": tag,
        "Cache-Control": _CACHING,
        "X-Data-Stale": "true" if is_stale(state, asked.series.interval, asked.now) else "false",
        "X-Data-Missing": str(found.missing),
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
