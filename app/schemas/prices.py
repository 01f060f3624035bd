"""The replies about spot prices and anomalies, as /docs shows them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.schemas.replies import Reply


class Price(Reply):
    """A collected spot price."""

    id: int
    symbol: str
    price: float = Field(description="What one coin costs, with up to 8 exact decimal places.")
    currency: str
    timestamp: int = Field(description="When it was collected, unix seconds, UTC.")
    priced_at: int = Field(description="The price's own time, unix seconds, UTC.")
    stale: bool = Field(description="It was too old, by its own time, when it was collected.")


class PriceAnomaly(Reply):
    """What is said of a symbol's newest price."""

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
    stale: bool = Field(description="The newest price is too old to be judged.")
    message: str = Field(description="Why.")


class SupportedSymbols(Reply):
    """Whose prices are collected."""

    symbols: tuple[str, ...]
    mappings: dict[str, str] = Field(description="CoinGecko's id of each symbol.")


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
