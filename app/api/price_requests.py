"""What the routes of prices and anomalies may be asked, read and judged here, once."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

from fastapi import Depends, Request

from app.api.dependencies import FROM, INTERVAL, TO, ContextDep, period, whole_number
from app.api.query import Parameter, Query, shortened
from app.core.errors import InvalidParameter, ReversedPeriod
from app.core.prices import Coin, parse_threshold
from app.domain.anomalies import Method, RelativeRule, RobustRule, Rule
from app.domain.times import iso, moment
from app.services.averages import Asked

MOST_PRICES: Final = 10_000
DEFAULT_PRICES: Final = 100

LIMIT: Final = Parameter(
    "limit",
    f"How many prices, 1 to {MOST_PRICES:,}. Default {DEFAULT_PRICES}.",
    {"type": "integer", "minimum": 1, "maximum": MOST_PRICES, "default": DEFAULT_PRICES},
    100,
)
COLLECTED_FROM: Final = Parameter(
    "from",
    "Collected at or after: unix seconds, a date or a date-time with its zone.",
    {"type": "string"},
    "2024-03-01",
    other_name="from_ts",
)
COLLECTED_TO: Final = Parameter(
    "to",
    "Collected at or before; a date means all of its day.",
    {"type": "string"},
    "2030-01-01",
    other_name="to_ts",
)
THRESHOLD: Final = Parameter(
    "threshold",
    "Relative change that must be exceeded, for `method=relative`. Default: ANOMALY_THRESHOLD.",
    {"type": "number"},
    0.05,
)
METHOD: Final = Parameter(
    "method",
    "`relative` (default) or `robust`.",
    {"type": "string", "enum": [method.value for method in Method], "default": "relative"},
    "relative",
)

HISTORY: Final = Query(LIMIT, COLLECTED_FROM, COLLECTED_TO)
ANOMALY: Final = Query(THRESHOLD, METHOD)
ANOMALIES: Final = Query(FROM, TO, INTERVAL, THRESHOLD, METHOD)


async def _coin(request: Request, context: ContextDep) -> Coin:
    return context.coin(request.path_params["symbol"])


async def _history(
    request: Request, context: ContextDep
) -> tuple[Coin, int, int | None, int | None]:
    coin = context.coin(request.path_params["symbol"])
    values = HISTORY.read(request.scope["query_string"])
    since = moment(values["from"], "from").first if "from" in values else None
    until = moment(values["to"], "to").last if "to" in values else None
    if since is not None and until is not None and since > until:
        raise ReversedPeriod(
            f"The period is reversed: from ({iso(since)}) lies after to ({iso(until)}). "
            "Exchange them."
        )
    limit = whole_number(values.get("limit", str(DEFAULT_PRICES)), "limit", MOST_PRICES)
    return coin, limit, since, until


async def _anomaly(request: Request, context: ContextDep) -> tuple[Coin, Rule]:
    coin = context.coin(request.path_params["symbol"])
    values = ANOMALY.read(request.scope["query_string"])
    default = context.runtime.settings.anomaly_threshold.of(coin.symbol)
    return coin, _rule(values, default)


async def _anomalies(request: Request, context: ContextDep) -> tuple[Asked, Rule]:
    values = ANOMALIES.read(request.scope["query_string"])
    asked = period(request, context, values)
    default = context.runtime.settings.anomaly_threshold.of(asked.series.pair.base)
    return asked, _rule(values, default)


CoinDep = Annotated[Coin, Depends(_coin)]
HistoryDep = Annotated[tuple[Coin, int, int | None, int | None], Depends(_history)]
"""The coin, how many prices, and the first and last unix second where they are given."""
AnomalyDep = Annotated[tuple[Coin, Rule], Depends(_anomaly)]
AnomaliesDep = Annotated[tuple[Asked, Rule], Depends(_anomalies)]


def _rule(values: dict[str, str], default: Decimal) -> Rule:
    name = values.get("method", Method.RELATIVE.value)
    if name == Method.RELATIVE.value:
        given = values.get("threshold")
        return RelativeRule(default if given is None else parse_threshold(given))
    if name != Method.ROBUST.value:
        raise InvalidParameter(f"method={shortened(name)!r} is unknown: use relative or robust.")
    if "threshold" in values:
        raise InvalidParameter(
            "threshold belongs to method=relative: the robust method takes its measure from the "
            "recent changes. Leave one of the two out."
        )
    return RobustRule()
