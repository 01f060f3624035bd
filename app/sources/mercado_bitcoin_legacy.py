"""Mercado Bitcoin's older mobile API: candles as objects, numbers as JSON numbers.

`GET {base}/BRLBTC/candle?from=…&to=…&precision=1d` answers `{"status_code": 100, "status_message":
"Success", "server_unix_timestamp": …, "candles": [{"timestamp", "open", "high", "low", "close",
"volume"}, …]}`. It refuses unknown clients with a 403; that is final.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from app.core.errors import UpstreamError, UpstreamNonsense, UpstreamRejected, UpstreamUnavailable
from app.core.market import CandlePage, Series
from app.domain.candles import RawCandle, closed_page
from app.sources.mercado_bitcoin import MercadoBitcoin, holds_nothing
from app.sources.mercado_bitcoin import read_error as read_v4_error
from app.sources.replies import ErrorBody, plausible_time

_SUCCESS: Final = 100
_FIELDS: Final = ("timestamp", "open", "high", "low", "close", "volume")


class _NotSent:
    """Stands for a price that a candle does not name: unlike null, it does not mean "no trade"."""

    def __repr__(self) -> str:
        return "(not sent)"


_ELSE: Final = {name: _NotSent() for name in ("open", "high", "low", "close")}


def read_error(data: object) -> ErrorBody | None:
    """Recognise a `status_code` other than 100, beside the error bodies of v4; an ErrorReader."""
    error = read_v4_error(data, "MB_LEGACY_API_BASE_URL")
    if error is not None or not isinstance(data, dict):
        return error
    status, message = data.get("status_code", _SUCCESS), data.get("status_message")
    if status == _SUCCESS:
        return None
    temporary = status == 429 or (isinstance(status, int) and status >= 500)
    means: type[UpstreamError] = UpstreamUnavailable if temporary else UpstreamRejected
    return ErrorBody(str(status), message if isinstance(message, str) else "", means=means)


class MercadoBitcoinLegacy(MercadoBitcoin):
    """A CandleSource: as v4's, with another request and another format of candles and errors."""

    def page(self, series: Series, first: int, last: int) -> CandlePage:
        """See CandleSource.page."""
        reply = self._http.get_json(
            f"{quote(series.pair.legacy, safe='')}/candle",
            {"from": first, "to": last, "precision": series.interval.value},
        )
        rows = _rows(reply.data, series, self._http.host)
        word = reply.data.get("server_unix_timestamp") if isinstance(reply.data, dict) else None
        times = self._time.times(reply, plausible_time(word))
        return closed_page(rows, series.interval, first, last, times)


def _rows(data: object, series: Series, host: str) -> list[RawCandle]:
    """The objects as rows. Raises UpstreamNonsense where they are no list of objects."""
    if holds_nothing(data):
        return []
    candles = data.get("candles") if isinstance(data, dict) else None
    if not isinstance(candles, list) or not all(isinstance(item, dict) for item in candles):
        raise UpstreamNonsense(
            f"The candles of {series.pair.symbol} {series.interval} from {host} are no list of "
            "objects under 'candles': none of them is used. Check the base URL; if it is right, the "
            "exchange has changed its format.",
            host=host,
        )
    return [RawCandle(*(item.get(name, _ELSE.get(name)) for name in _FIELDS)) for item in candles]
