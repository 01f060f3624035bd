"""What each read says about its data, and the reply to a client that has it already.

The ETag names the revision and the buckets that were asked for, so it changes with every change of the
body and, for a period that ends now, with every new bucket.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from hashlib import blake2b
from typing import Final

from app.core.market import SeriesState, Window
from app.services.averages import Asked, why_absent
from app.services.gaps import is_stale
from app.utils.days import iso
from app.utils.revisions import changed_at

# A stored reply may be used only after asking whether it is still right; asking costs little.
_CACHING: Final = "public, no-cache"
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')


def etag(kind: str, asked: Asked, revision: int) -> str:
    """The entity tag of one representation: `kind` is the endpoint with what else shapes the body."""
    last = min(asked.last, asked.closed)
    named = f"{kind} {asked.pair.symbol} {asked.interval} {asked.first} {last} {revision}"
    return f'"{blake2b(named.encode(), digest_size=12).hexdigest()}"'


def data_headers(
    asked: Asked, state: SeriesState, tag: str, window: Window | None = None
) -> dict[str, str]:
    """The headers of a read, also of one that is not modified; of averages over `window`, if any."""
    headers = {
        "ETag": tag,
        "Cache-Control": _CACHING,
        "X-Data-Stale": "true" if is_stale(state, asked.interval, asked.now) else "false",
    }
    if state.revision:
        headers["Last-Modified"] = formatdate(changed_at(state.revision), usegmt=True)
    if state.last is not None:
        headers["X-Data-As-Of"] = iso(state.last)
    reason = why_absent(asked, state, window)
    if reason is not None:
        headers["X-Data-Reason"] = reason
    return headers


def is_held(if_none_match: str | None, tag: str) -> bool:
    """Whether the client's If-None-Match (RFC 9110, 13.1.2) names this representation."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in _TAG.findall(if_none_match)
