"""Mercado Bitcoin's public API v4: candles in columns, numbers as decimal strings.

`GET {base}/candles?symbol=BTC-BRL&resolution=1d&from=…&to=…`, both ends inclusive, answers
`{"t": [unix seconds…], "o": ["…"], "h": […], "l": […], "c": […], "v": […]}`. A bucket without a
trade is absent; the running candle comes last and unmarked. (api.mercadobitcoin.net/api/v4/docs)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from app.core.errors import (
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.core.market import CandlePage, Series
from app.core.ports import Clock, HostClocks
from app.domain.candles import RawCandle, closed_page
from app.sources.host_clock import HostClock
from app.sources.replies import ErrorBody, read_common_error

if TYPE_CHECKING:
    from app.sources.http import UpstreamHttp

PAGE_SIZE: Final = 500
"""Buckets per request. The exchange documents no limit; clients have seen about 1,000."""

_COLUMNS: Final = ("t", "o", "h", "l", "c")
_VOLUMES: Final = "v"

_OTHER_PAIR: Final = "check the pair's name in ALLOWED_PAIRS"

# The last part of `DOMAIN|MODULE|ERROR`, where it says more than the HTTP status, and what to do.
_MEANINGS: Final[dict[str, tuple[type[UpstreamError], str]]] = {
    "REQUEST_RATE_EXCEEDED": (UpstreamUnavailable, ""),
    "API_UNAVAILABLE": (UpstreamUnavailable, ""),
    "INTERNAL_SERVER_ERROR": (UpstreamUnavailable, ""),
    "REQUEST_BLOCKED": (UpstreamBlocked, ""),
    "REQUEST_DENIED": (UpstreamBlocked, ""),
    "SYMBOL_IS_INVALID": (UpstreamRejected, _OTHER_PAIR),
    "INVALID_SYMBOL": (UpstreamRejected, _OTHER_PAIR),
    "COIN_NOT_FOUND": (UpstreamRejected, _OTHER_PAIR),
    "ROUTE_NOT_FOUND": (UpstreamRejected, "check {base_url}"),
}


def read_error(data: object, base_url: str = "MB_API_BASE_URL") -> ErrorBody | None:
    """Recognise `{"code": "DOMAIN|MODULE|ERROR", "message": "…"}`; an ErrorReader.

    It also recognises `{"s": "error", "errmsg": "…"}`, as data feeds of charts write it. `base_url`
    is the setting that the host's address comes from.
    """
    error = read_common_error(data)
    if error is None and isinstance(data, dict) and data.get("s") == "error":
        message = data.get("errmsg")
        error = ErrorBody("error", message if isinstance(message, str) else "")
    if error is None:
        return None
    means, advice = _MEANINGS.get(error.code.rpartition("|")[2], (None, ""))
    return replace(error, means=means, advice=advice.format(base_url=base_url))


class MercadoBitcoin:
    """A CandleSource. `http` asks the API's base URL and understands errors by `read_error`.

    `clock`, `clocks` and `monotonic` are HostClock's.
    """

    def __init__(
        self,
        http: UpstreamHttp,
        clock: Clock,
        clocks: HostClocks | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._time = HostClock(http.host, clock, clocks, monotonic)

    @property
    def page_size(self) -> int:
        """See CandleSource.page_size."""
        return PAGE_SIZE

    def page(self, series: Series, first: int, last: int) -> CandlePage:
        """See CandleSource.page."""
        reply = self._http.get_json(
            "candles",
            {
                "symbol": series.pair.symbol,
                "resolution": series.interval.value,
                "from": first,
                "to": last,
            },
        )
        rows = _rows(reply.data, series, self._http.host)
        return closed_page(rows, series.interval, first, last, self._time.times(reply))


def holds_nothing(data: object) -> bool:
    """Whether a reply says that the period has no candles, in any of the ways that exchanges do.

    These are an empty list (or no content at all), `{"s": "no_data"}`, and columns or a list of
    `candles` that are null or empty. What holds a value in one of these places says more.
    """
    if not isinstance(data, dict):
        return data == []
    named = [data[name] for name in ("candles", *_COLUMNS) if name in data]
    return (data.get("s") == "no_data" or "t" in data or "candles" in data) and all(
        value is None or value == [] for value in named
    )


def _rows(data: object, series: Series, host: str) -> list[RawCandle]:
    """The columns as rows. Raises UpstreamNonsense where those of stamps and prices are not equal.

    Without as many volumes, there are none.
    """
    if holds_nothing(data):
        return []
    problem = ""
    columns: list[list[object]] = []
    volumes: object = None
    if not isinstance(data, dict):
        problem = "are no JSON object"
    else:
        volumes = data.get(_VOLUMES)
        for name in _COLUMNS:
            column = data.get(name)
            if not isinstance(column, list):
                problem = f"have no list {name!r}"
                break
            columns.append(column)
        if len({len(column) for column in columns}) > 1:
            sizes = ", ".join(f"{n} {len(c)}" for n, c in zip(_COLUMNS, columns, strict=False))
            problem = f"have columns of different lengths ({sizes})"
    if problem:
        raise UpstreamNonsense(
            f"The candles of {series.pair.symbol} {series.interval} from {host} {problem}: "
            "none of them is used. Check the base URL; if it is right, the exchange has changed its "
            "format.",
            host=host,
        )
    rows = len(columns[0])
    if not isinstance(volumes, list) or len(volumes) != rows:
        volumes = [None] * rows
    return [RawCandle(*row) for row in zip(*columns, volumes, strict=True)]
