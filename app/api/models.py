"""The bodies of replies as /docs shows them: models, each with an example.

No read uses them: series are rendered straight to bytes (`app.domain.rendering`, `tables`).
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app import __version__


class Reply(BaseModel):
    """The base of every reply: immutable."""

    model_config = ConfigDict(frozen=True)


class Index(Reply):
    """The addresses to begin with; those of series and prices name what is served first."""

    name: str
    version: str
    page: str = Field(description="This address: the page, for a client that prefers HTML.")
    pairs: str
    latest: str
    averages: str
    candles: str
    gaps: str
    chart: str
    history: str
    symbols: str
    stream: str
    health: str
    docs: str | None = Field(default=None, description="Absent without the setting DOCS.")
    openapi: str | None = Field(default=None, description="Absent without the setting DOCS.")


INDEX_EXAMPLE: Final = {
    "name": "MMS API",
    "version": __version__,
    "page": "/",
    "pairs": "/pairs",
    "latest": "/latest?interval=1d",
    "averages": "/BRLBTC/mms?range=20&interval=1d",
    "candles": "/BRLBTC/candles?interval=1d",
    "gaps": "/BRLBTC/gaps?interval=1d",
    "chart": "/BRLBTC/chart.svg?interval=1d",
    "history": "/history/BTC",
    "symbols": "/supported-symbols",
    "stream": "/stream",
    "health": "/health",
    "docs": "/docs",
    "openapi": "/openapi.json",
}


class AveragePoint(Reply):
    """The average that ends with one bucket."""

    timestamp: int = Field(description="Start of the bucket, unix seconds, UTC.")
    mms: float = Field(
        description="Mean of the last `range` closes, rounded half to even at 8 places."
    )


AVERAGES_EXAMPLE: Final = [
    {"timestamp": 1711584000, "mms": 342881.46050217},
    {"timestamp": 1711670400, "mms": 344013.01851597},
]


class CandlePoint(Reply):
    """One closed candle; `mms_20`, `mms_50`, `mms_200` only where `windows` asks for them."""

    timestamp: int = Field(description="Start of the bucket, unix seconds, UTC.")
    open: float
    high: float
    low: float
    close: float
    volume: float | None = Field(
        description="Traded amount of the base currency, exact; null where the exchange sent none."
    )
    mms_20: float | None = Field(default=None, description="Null where it does not exist.")
    mms_50: float | None = Field(default=None, description="Null where it does not exist.")
    mms_200: float | None = Field(default=None, description="Null where it does not exist.")


CANDLES_EXAMPLE: Final = [
    {
        "timestamp": 1711670400,
        "open": 352100.0,
        "high": 354999.5,
        "low": 345210.0125,
        "close": 349000.00000001,
        "volume": 31.40281734,
        "mms_20": 344013.01851597,
        "mms_50": 306486.96789567,
        "mms_200": 213766.2485892,
    }
]


class Levels(Reply):
    """The close of one bucket, with its averages."""

    timestamp: int = Field(description="Start of the bucket, unix seconds, UTC.")
    close: float
    mms_20: float | None = Field(description="Null where it does not exist.")
    mms_50: float | None = Field(description="Null where it does not exist.")
    mms_200: float | None = Field(description="Null where it does not exist.")


class LatestCandle(Reply):
    """The newest stored candle of a series, and what has just crossed."""

    pair: str = Field(description="QUOTE+BASE, as in the addresses.")
    interval: str
    timestamp: int | None = Field(
        description="Start of the bucket, unix seconds, UTC; null where nothing is stored."
    )
    closed_at: int | None = Field(description="End of the bucket, unix seconds, UTC.")
    close: float | None
    mms_20: float | None = Field(description="Null where it does not exist.")
    mms_50: float | None = Field(description="Null where it does not exist.")
    mms_200: float | None = Field(description="Null where it does not exist.")
    previous: Levels | None = Field(description="The stored candle before it.")
    distance_200: str | None = Field(
        description="(close - mms_200) / mms_200, rounded half to even at 4 places."
    )
    trend: Literal["above", "at", "below"] | None = Field(
        description="On which side of mms_200 the close lies."
    )
    crossed: tuple[str, ...] = Field(
        description="What crossed since the bucket before: `close>mms_200` upwards, "
        "`mms_50<mms_200` downwards. Empty where the candle right before is missing."
    )
    as_of: str | None = Field(description="Newest stored bucket of the series.")
    stale: bool = Field(description="The exchange has had a newer closed bucket for too long.")
    message: str | None = Field(
        default=None, description="Only where something is absent: what, and where to see why."
    )


LATEST_EXAMPLE: Final = {
    "pair": "BRLBTC",
    "interval": "1d",
    "timestamp": 1711670400,
    "closed_at": 1711756800,
    "close": 349000.00000001,
    "mms_20": 344013.01851597,
    "mms_50": 306486.96789567,
    "mms_200": 213766.2485892,
    "previous": {
        "timestamp": 1711584000,
        "close": 342100.5,
        "mms_20": 342881.46050217,
        "mms_50": 303914.27064815,
        "mms_200": 212731.50912404,
    },
    "distance_200": "0.6326",
    "trend": "above",
    "crossed": ["close>mms_20"],
    "as_of": "2024-03-29T00:00:00Z",
    "stale": False,
}


class SeriesStatus(Reply):
    """One served series: a pair at an interval."""

    pair: str = Field(description="QUOTE+BASE, as in the addresses.")
    symbol: str = Field(description="BASE-QUOTE, as at the exchange; addresses take it, too.")
    interval: str
    windows: tuple[int, ...] = Field(description="What `range` may be.")
    first: str | None = Field(description="Oldest candle stored of the served period.")
    last: str | None = Field(description="Newest candle stored of the served period.")
    expected: int = Field(description="Closed buckets in the served period.")
    stored: int = Field(description="How many of them have a candle.")
    missing: int = Field(description="How many of them have none.")
    warm_up_missing: int = Field(
        description="How many of the 199 buckets before them, which the first averages need, "
        "have none."
    )
    stale: bool = Field(description="The exchange has had a newer closed bucket for too long.")
    as_of: str | None = Field(description="Newest stored bucket of the series.")
    checked_at: str | None = Field(description="Last load that reached the exchange.")
    message: str | None = Field(
        default=None, description="Why nothing is stored; absent where something is."
    )


class ServedSeries(Reply):
    """Every served series."""

    pairs: tuple[SeriesStatus, ...]


PAIRS_EXAMPLE: Final = {
    "pairs": [
        {
            "pair": "BRLBTC",
            "symbol": "BTC-BRL",
            "interval": "1d",
            "windows": [20, 50, 200],
            "first": "2023-03-31T00:00:00Z",
            "last": "2024-03-29T00:00:00Z",
            "expected": 365,
            "stored": 365,
            "missing": 0,
            "warm_up_missing": 0,
            "stale": False,
            "as_of": "2024-03-29T00:00:00Z",
            "checked_at": "2024-03-30T00:05:02Z",
        },
    ]
}


class GapRange(Reply):
    """A run of missing buckets with one cause."""

    first: str
    last: str
    count: int = Field(description="How many buckets.")
    cause: Literal["never-fetched", "refused", "absent", "confirmed-absent"]
    warm_up: bool = Field(
        description="They lie before the served period, whose first averages lack them."
    )


class GapReport(Reply):
    """What is missing of one served series."""

    pair: str
    symbol: str
    interval: str
    first: str = Field(description="First bucket of the served period.")
    last: str = Field(description="Its last closed bucket.")
    expected: int = Field(description="Closed buckets in the served period.")
    stored: int
    missing: int = Field(description="Served buckets without a candle.")
    warm_up_missing: int = Field(
        description="Of the 199 buckets before them, which the first averages need, "
        "those without one."
    )
    complete: bool = Field(description="Nothing needs doing: what is missing is confirmed absent.")
    stale: bool = Field(description="The exchange has had a newer closed bucket for too long.")
    as_of: str | None = Field(description="Newest stored bucket of the series.")
    age_seconds: int | None = Field(description="Seconds since that bucket closed.")
    checked_at: str | None = Field(description="Last load that reached the exchange.")
    checked_age_seconds: int | None = Field(description="Seconds since that load.")
    gaps: tuple[GapRange, ...]
    quarantined: int = Field(description="Refusals on record; see /{pair}/quarantine.")
    wrong_averages: tuple[tuple[str, str], ...] = Field(
        description="First and last bucket of runs whose averages contradict the candles."
    )


GAPS_EXAMPLE: Final = {
    "pair": "BRLBTC",
    "symbol": "BTC-BRL",
    "interval": "1d",
    "first": "2023-03-31T00:00:00Z",
    "last": "2024-03-29T00:00:00Z",
    "expected": 365,
    "stored": 363,
    "missing": 2,
    "warm_up_missing": 1,
    "complete": False,
    "stale": False,
    "as_of": "2024-03-29T00:00:00Z",
    "age_seconds": 36_000,
    "checked_at": "2024-03-30T00:05:02Z",
    "checked_age_seconds": 35_698,
    "gaps": [
        {
            "first": "2023-02-14T00:00:00Z",
            "last": "2023-02-14T00:00:00Z",
            "count": 1,
            "cause": "never-fetched",
            "warm_up": True,
        },
        {
            "first": "2023-12-24T00:00:00Z",
            "last": "2023-12-25T00:00:00Z",
            "count": 2,
            "cause": "absent",
            "warm_up": False,
        },
    ],
    "quarantined": 0,
    "wrong_averages": [],
}


class Quarantined(Reply):
    """A candle that was refused, or is used without the volume that came with it."""

    timestamp: int | None = Field(description="Start of the bucket; null where it is unknown.")
    reason: str
    used: bool = Field(description="The candle is used: only its volume is not.")
    first_seen: int = Field(description="Unix seconds, UTC.")
    last_seen: int = Field(description="Unix seconds, UTC.")


QUARANTINE_EXAMPLE: Final = [
    {
        "timestamp": 1709596800,
        "reason": "The close 320123.45 lies above the high 310000.",
        "used": False,
        "first_seen": 1709683210,
        "last_seen": 1709769610,
    },
    {
        "timestamp": 1709510400,
        "reason": "This candle is used without a volume. The volume is missing.",
        "used": True,
        "first_seen": 1709596810,
        "last_seen": 1709683210,
    },
]


class Revised(Reply):
    """A closed candle before and after the exchange changed it."""

    timestamp: int = Field(description="Start of the bucket, unix seconds, UTC.")
    noticed: int = Field(description="When it was noticed, unix seconds, UTC.")
    revision: str = Field(description="The series' revision that brought the change.")
    old_open: float
    old_high: float
    old_low: float
    old_close: float
    old_volume: float | None
    new_open: float
    new_high: float
    new_low: float
    new_close: float
    new_volume: float | None


REVISIONS_EXAMPLE: Final = [
    {
        "timestamp": 1709596800,
        "noticed": 1709769610,
        "revision": "1792554000000000001",
        "old_open": 320123.45,
        "old_high": 320123.45,
        "old_low": 320123.45,
        "old_close": 320123.45,
        "old_volume": 320123.45,
        "new_open": 320124.0,
        "new_high": 320124.0,
        "new_low": 320124.0,
        "new_close": 320124.0,
        "new_volume": 320124.0,
    }
]


class CollectedPrice(Reply):
    """A collected spot price."""

    id: int
    symbol: str
    price: float = Field(description="What one coin costs, with all digits of the source.")
    currency: str
    timestamp: int = Field(description="When it was collected, unix seconds, UTC.")
    priced_at: int = Field(description="The price's own time, unix seconds, UTC.")
    stale: bool = Field(description="`priced_at` is too long before `timestamp`.")


PRICE_EXAMPLE: Final = {
    "id": 17,
    "symbol": "BTC",
    "price": 67187.33,
    "currency": "usd",
    "timestamp": 1711356330,
    "priced_at": 1711356300,
    "stale": False,
}
HISTORY_EXAMPLE: Final = [PRICE_EXAMPLE]


class PriceAnomaly(Reply):
    """The judgement of a symbol's newest price."""

    symbol: str
    anomaly: bool
    latest_price: float | None
    previous_price: float | None
    relative_change: float | None = Field(description="(latest - previous) / previous, signed.")
    usual_change: float | None = Field(
        description="0 for relative, the median for robust; null where nothing was judged."
    )
    threshold: float | None = Field(description="How far from the usual a change may be.")
    method: Literal["relative", "robust"]
    outcome: Literal["insufficient", "normal", "anomalous"]
    currency: str
    timestamp: int | None = Field(description="When the newest price was collected.")
    stale: bool = Field(description="The newest price cannot be judged: `message` says why.")
    message: str = Field(description="Why.")


ANOMALY_EXAMPLE: Final = {
    "symbol": "BTC",
    "anomaly": True,
    "latest_price": 71231.5,
    "previous_price": 67187.33,
    "relative_change": 0.06019276,
    "usual_change": 0.0,
    "threshold": 0.05,
    "method": "relative",
    "outcome": "anomalous",
    "currency": "usd",
    "timestamp": 1711356630,
    "stale": False,
    "message": "The price rose by 6.019276 %; that exceeds the threshold of 5 %.",
}


class SupportedSymbols(Reply):
    """Whose prices are collected."""

    symbols: tuple[str, ...]
    mappings: dict[str, str] = Field(description="CoinGecko's id of each symbol.")


SYMBOLS_EXAMPLE: Final = {
    "symbols": ["BTC", "ETH"],
    "mappings": {"BTC": "bitcoin", "ETH": "ethereum"},
}


class AnomalousClose(Reply):
    """A close that changed out of the ordinary."""

    timestamp: int = Field(description="Start of the bucket, unix seconds, UTC.")
    close: float
    previous: float
    relative_change: float
    usual_change: float
    threshold: float
    message: str


class SeriesAnomalies(Reply):
    """The anomalous closes of a period."""

    pair: str
    interval: str
    method: Literal["relative", "robust"]
    judged: int
    insufficient: int
    anomalies: tuple[AnomalousClose, ...]


ANOMALIES_EXAMPLE: Final = {
    "pair": "BRLBTC",
    "interval": "1d",
    "method": "relative",
    "judged": 364,
    "insufficient": 1,
    "anomalies": [
        {
            "timestamp": 1709596800,
            "close": 320123.45,
            "previous": 345000.0,
            "relative_change": -0.07210594,
            "usual_change": 0.0,
            "threshold": 0.05,
            "message": "The price fell by 7.210594 %; that exceeds the threshold of 5 %.",
        }
    ],
}


class Health(Reply):
    """Whether the service works."""

    status: Literal["ok", "degraded", "unavailable"] = Field(
        description="`degraded`: a cache is away, so that reads are slower and still right; or no "
        "new price can be had."
    )
    database: Literal["ok", "unavailable"] = Field(description="Whether it answers reads.")
    cache: Literal["ok", "degraded"]
    prices: Literal["ok", "degraded"] = Field(
        "ok", description="There only after a request to the price source failed."
    )


HEALTH_EXAMPLE: Final = {"status": "ok", "database": "ok", "cache": "ok"}
NO_HEALTH_EXAMPLE: Final = {"status": "unavailable", "database": "unavailable", "cache": "ok"}


class Alive(Reply):
    """The process answers."""

    status: Literal["alive"] = "alive"


ALIVE_EXAMPLE: Final = {"status": "alive"}


class Readiness(Reply):
    """Whether requests should be sent here."""

    status: Literal["ready", "unavailable"]
    data: Literal["present", "empty"] | None = None
    cache: Literal["ok", "degraded"] | None = None
    message: str | None = None


DRAINING: Final = "This process is shutting down."

READY_EXAMPLE: Final = {
    "status": "ready",
    "data": "empty",
    "cache": "ok",
    "message": "No data yet: run mms load.",
}
NOT_READY_EXAMPLE: Final = {"status": "unavailable", "message": DRAINING}


class Problem(Reply):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="`urn:mms-api:error:` and the code.")
    title: str = Field(description="What the code means, always the same words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong here, and what is allowed or what to do.")
    code: str = Field(description="The kind of error, for programs.")
    request_id: str = Field(description="The request's id, also in X-Request-ID and in the log.")
