"""Why a request is refused at the edge."""

from __future__ import annotations

from typing import NamedTuple

from app.api import errors
from app.api.compression import RawHeaders


class Refusal(NamedTuple):
    """Why a request is refused, and the headers that say more."""

    answer: errors.Answer
    detail: str
    headers: RawHeaders
