"""CoinGecko's public API v3: the spot prices of all coins in one reply, numbers as JSON numbers.

`GET {base}/simple/price?ids=bitcoin,ethereum&vs_currencies=usd&include_last_updated_at=true&
precision=full` answers `{"bitcoin": {"usd": 67187.3358936566, "last_updated_at": 1711356300}, …}`.
An unknown id is left out, a retired one has an empty object or nulls; any value may be null.
Prices have no tick: cheap coins have 13 places and more, and come as `1.4e-08`.
(docs.coingecko.com/reference/simple-price)

Error bodies come in several shapes, and some of them with HTTP 200:
`{"status": {"error_code": 429, "error_message": "…"}}`, the same under `"error"`,
`{"error_code": 10010, "status": {"error_message": "…"}}`, `{"error": "…"}`, and plain words. The
codes are CoinGecko's own (docs.coingecko.com/docs/errors-and-rate-limits), except 10006: that page
leaves it out, but clients have seen it once a month's calls were spent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from urllib.parse import urlsplit

from app.core.errors import (
    UnrepresentablePrice,
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.core.market import Exact
from app.core.ports import Clock, HostClocks
from app.core.prices import Coin, PriceReply, RefusedPrice, SpotPrice
from app.domain.fixed_point import as_decimal, kept
from app.domain.times import TOLERANCE, iso
from app.sources.host_clock import HostClock
from app.sources.replies import DecimalText, ErrorBody, plausible_time, read_common_error
from app.sources.retry import Bounds, RetryPolicy

if TYPE_CHECKING:
    from app.sources.http import UpstreamHttp

POLICY: Final = RetryPolicy(attempts=1, total=7.0, room=3.5)
"""For a client that waits for the reply: one attempt, because failed calls count against the budget
too. The client waits at most `total`, half of it for the rate limiter: when the API stops, requests
in flight get 8 s."""

PATIENT: Final = RetryPolicy(attempts=1, total=64.0, room=4.0)
"""For a collector: one attempt as well, because the next poll is the retry. It waits long enough
for 30 turns of the rate limiter to pass, so it gets one however many others want it. A stop ends
the wait."""

BOUNDS: Final = Bounds(deadline=4.0)
"""A request has 4 s, however long it waited for its turn: the API answers in well under 1 s."""

_PRO_HOST: Final = "pro-api.coingecko.com"


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


class Unusable(ValueError):
    """The reply has no usable price of a coin; the message says why, as the end of a sentence."""


def key_headers(base_url: str, api_key: str | None) -> dict[str, str]:
    """The header that carries the API key, for `UpstreamHttp(secrets=…)`; without a key, none.

    The pro host has its own name for the header; every other host is treated as the public one.
    The settings have checked the key.
    """
    if api_key is None:
        return {}
    pro = urlsplit(base_url).hostname == _PRO_HOST
    return {"x-cg-pro-api-key" if pro else "x-cg-demo-api-key": api_key}


class CoinGecko:
    """A PriceSource.

    `http` asks the API's base URL with `key_headers` as its secrets, by POLICY, and understands
    errors by `read_error`. `clock` and `clocks` are HostClock's.
    """

    def __init__(self, http: UpstreamHttp, clock: Clock, clocks: HostClocks | None = None) -> None:
        self._http = http
        self._time = HostClock(http.host, clock, clocks)

    def prices(self, coins: Sequence[Coin], currency: str) -> PriceReply:
        """See PriceSource.prices. `currency` is CoinGecko's name of it, any case: `usd`, `brl`.

        Staleness is not judged here. A coin without a usable price is refused; the others are not
        affected. Raises UpstreamError; UpstreamNonsense also where the reply is no table of prices.
        """
        quote = currency.lower()
        ids = tuple(dict.fromkeys(coin.id for coin in coins))
        reply = self._http.get_json(
            "simple/price",
            {
                "ids": ",".join(ids),
                "vs_currencies": quote,
                "include_last_updated_at": "true",
                "precision": "full",
            },
        )
        table = _table(reply.data, ids, self._http.host)
        # When the host answered, not when the body was made: a price is refused only for a time
        # that no honest reply can name, and a cache may keep the first `Date` beside an `Age`.
        now = self._time.read(reply) + reply.age
        received_at = self._time.stamp(reply)
        prices, refused = [], []
        for coin in coins:
            try:
                price, priced_at = _quote(table, coin, quote, now)
                prices.append(SpotPrice(coin, price, quote, priced_at))
            except (Unusable, UnrepresentablePrice) as error:
                refused.append(
                    RefusedPrice(
                        coin,
                        f"{self._http.host} has no usable price of {coin} in {quote}: {error}.",
                    )
                )
        return PriceReply(tuple(prices), tuple(refused), received_at)


def _table(data: object, ids: Sequence[str], host: str) -> dict[str, Any]:
    """The reply as a table by id. Raises UpstreamNonsense where it cannot be one."""
    problem = "is no JSON object"
    if isinstance(data, dict):
        # Where CoinGecko lists none of the coins, the right reply is {}. An object with other
        # members is a reply to something else.
        if any(coin_id in data for coin_id in ids) or all(
            value is None or isinstance(value, dict) for value in data.values()
        ):
            return data
        problem = "holds none of the coins, but other things"
    raise UpstreamNonsense(
        f"The reply about prices from {host} {problem}: nothing of it is used. Check "
        "COINGECKO_API_BASE_URL; if it is right, CoinGecko has changed its format.",
        host=host,
    )


def _quote(table: dict[str, Any], coin: Coin, currency: str, now: int) -> tuple[Exact, int]:
    """The price and its time. Raises Unusable and UnrepresentablePrice."""
    entry = table.get(coin.id)
    if not isinstance(entry, dict | None):
        raise Unusable(f"the entry under {coin.id!r} is {_shown(entry)}, not an object")
    if not _has_price(entry, currency):
        currency_works = any(_has_price(other, currency) for other in table.values())
        raise Unusable(
            _without_price(coin, currency, listed=entry is not None, currency_works=currency_works)
        )
    return _price(entry[currency]), _time(entry.get("last_updated_at"), now)


def _has_price(entry: object, currency: str) -> TypeGuard[dict[str, Any]]:
    return isinstance(entry, dict) and entry.get(currency) is not None


def _without_price(coin: Coin, currency: str, *, listed: bool, currency_works: bool) -> str:
    """Why the reply has no price of the coin, and what to do.

    `listed`: the reply has an entry about it. `currency_works`: another coin has a price in it.
    """
    of_id = (
        f"CoinGecko has none (any more) under the id {coin.id!r}, which was probably renamed or "
        "retired, or is misspelt: look the new id up in CoinGecko's coins/list, and write "
        f"{coin}:new-id in ALLOWED_SYMBOLS"
    )
    if currency_works:
        return of_id
    if listed:
        return (
            f"no coin in the reply has a price in {currency!r}. Check PRICE_CURRENCY; if it is "
            f"right, {of_id}"
        )
    return f"{of_id}. If the id is right, check PRICE_CURRENCY"


def _price(value: Any) -> Exact:
    """The number as it came."""
    if isinstance(value, bool) or not isinstance(value, int | DecimalText):
        raise Unusable(f"the price is {_shown(value)}, not a JSON number")
    price = kept(str(value))
    if as_decimal(price) <= 0:
        raise Unusable(f"the price {_shown(value)} is not above 0")
    return price


def _time(value: Any, now: int) -> int:
    """`last_updated_at`. Raises Unusable where it is no time, or too far after the host's `now`."""
    at = plausible_time(value)
    if at is None:
        raise Unusable(f"last_updated_at is {_shown(value)}, not a time in unix seconds")
    if at > now + TOLERANCE:
        raise Unusable(
            f"last_updated_at is {iso(at)}, {at - now} s after that host's own clock; {TOLERANCE} s "
            "are allowed"
        )
    return at


def _shown(value: object) -> str:
    """A JSON value in a sentence. Text is not repeated: it may be anything."""
    if isinstance(value, int | DecimalText):
        return str(value)[:40]
    return "null" if value is None else f"a {type(value).__name__}"


def read_error(data: object) -> ErrorBody | None:
    """Recognise every shape above; an ErrorReader.

    A price reply is none of them, not even one about the coin whose id is `status`.
    """
    if isinstance(data, str):
        error = ErrorBody(message=data) if _too_often(data) else None
    elif isinstance(data, dict):
        error = _coded(data) or read_common_error(data)
    else:
        error = None
    if error is None:
        return None
    means, advice = _MEANINGS.get(error.code, (None, ""))
    status = error.status
    if means is None and status is None and _too_often(error.message):
        # A status, not a meaning: where the reply itself has an error status, that one counts.
        status = 429
    return ErrorBody(error.code, error.message, status, means, advice)


def _coded(data: dict[str, Any]) -> ErrorBody | None:
    """The shapes with CoinGecko's own `error_code` or `error_message`."""
    error = data.get("error")
    entry = error if isinstance(error, dict) else data
    if isinstance(entry.get("status"), dict):
        entry = entry | entry["status"]
    code, message = entry.get("error_code"), entry.get("error_message")
    usable = isinstance(code, int | str) and not isinstance(code, bool) and code
    code, message = str(code) if usable else "", message if isinstance(message, str) else ""
    if not (code or message):
        return None
    return ErrorBody(code, message, int(code) if _STATUS.fullmatch(code) else None)


def _too_often(words: str) -> bool:
    """Whether the words say that this client asks too often."""
    return _TOO_OFTEN.search(words) is not None
