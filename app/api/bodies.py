"""The JSON objects that more than one reply has."""

from __future__ import annotations

from app.api.models import SeriesStatus
from app.core.market import WINDOWS
from app.core.prices import StoredPrice
from app.domain import rendering
from app.domain.crossings import LINES, Levels
from app.domain.times import iso_or_none
from app.services.anomalies import PriceJudgement, PriceRules, is_fresh
from app.services.coverage import Coverage
from app.services.latest import Latest
from app.services.reasons import nothing_stored


def latest(candle: Latest) -> bytes:
    """The object of /{pair}/latest."""
    newest, previous = candle.newest, candle.previous
    said = {} if candle.message is None else {"message": candle.message}
    return rendering.flat(
        {
            **candle.series.named(),
            "timestamp": candle.as_of,
            "closed_at": None if newest is None else newest.bucket + candle.series.step,
            **_values(newest),
            "previous": (
                None
                if previous is None
                else rendering.nested({"timestamp": previous.bucket, **_values(previous)})
            ),
            "distance_200": candle.distance,
            "trend": candle.trend,
            "crossed": rendering.texts(candle.crossed),
            "as_of": iso_or_none(candle.as_of),
            "stale": candle.stale,
            **said,
        }
    )


def _values(levels: Levels | None) -> rendering.Flat:
    """The close and the averages, by their names."""
    if levels is None:
        return dict.fromkeys(LINES)
    values = (levels.close, *levels.averages)
    return {name: rendering.decimal(value) for name, value in zip(LINES, values, strict=True)}


def status(coverage: Coverage) -> SeriesStatus:
    """One of the objects of /pairs."""
    row = SeriesStatus(
        pair=coverage.series.pair.legacy,
        symbol=coverage.series.pair.symbol,
        interval=coverage.series.interval.value,
        windows=WINDOWS,
        first=iso_or_none(coverage.first),
        last=iso_or_none(coverage.last),
        expected=coverage.expected,
        stored=coverage.stored,
        missing=coverage.missing,
        warm_up_missing=coverage.warm_up_missing,
        stale=coverage.stale,
        as_of=iso_or_none(coverage.as_of),
        checked_at=iso_or_none(coverage.checked_at),
    )
    if coverage.as_of is None:
        message = nothing_stored(coverage.series, coverage.checked_at, coverage.first_tried_at)
        return row.model_copy(update={"message": message})
    return row


def price(stored: StoredPrice, rules: PriceRules) -> bytes:
    """One of the objects of /history/{symbol}."""
    return rendering.price(stored, stale=not is_fresh(stored, rules.stale_after))


def anomaly(symbol: str, rules: PriceRules, verdict: PriceJudgement) -> bytes:
    """The object of /anomaly/{symbol}."""
    judgement = verdict.judgement
    return rendering.flat(
        {
            "symbol": symbol,
            "anomaly": judgement.anomalous,
            "latest_price": rendering.decimal(judgement.latest),
            "previous_price": rendering.decimal(judgement.previous),
            "relative_change": rendering.decimal(judgement.change),
            "usual_change": rendering.decimal(judgement.usual),
            "threshold": rendering.decimal(judgement.threshold),
            "method": judgement.method.value,
            "outcome": judgement.outcome.value,
            "currency": rules.currency,
            "timestamp": None if verdict.latest is None else verdict.latest.collected_at,
            "stale": verdict.stale,
            "message": judgement.reason,
        }
    )
