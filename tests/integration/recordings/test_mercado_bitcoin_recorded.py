"""Mercado Bitcoin's recorded replies, read to the last digit."""

from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest

from app.core.errors import UpstreamBlocked, UpstreamRejected, UpstreamUnavailable
from app.core.market import Candle, Interval, Series
from app.domain.candles import UNCERTAIN
from tests.support.candles import BTC, BTC_DAILY
from tests.unit.sources.upstream_fakes import FakeHost, answer, legacy, v4


def exactly(value: str) -> int:
    return int(Decimal(value) * 10**8)


def test_the_recorded_legacy_reply_is_read_to_the_last_digit(recordings: Path) -> None:
    folder = recordings / "mb_api"
    body = (folder / "legacy_v4_candle_BRLBTC_1d_2022-01-02_2024-03.raw.json").read_bytes()
    with (folder / "legacy_v4_candle_BRLBTC_1d.csv").open(newline="") as table:
        expected = [
            Candle(
                int(line["timestamp"]),
                *(exactly(line[name]) for name in ("open", "high", "low", "close", "volume")),
            )
            for line in csv.DictReader(table)
        ]
    first, last = expected[0].bucket, expected[-1].bucket
    page = legacy(FakeHost([answer(body=body)])).page(BTC_DAILY, first, last)
    assert (len(expected), len(page.candles)) == (819, 818)
    assert list(page.candles) == expected[:-1]
    assert page.refused == ()
    assert page.complete
    assert page.exchange_time == 1_711_829_417
    later = last + 86_400 + UNCERTAIN
    whole = json.loads(body, parse_float=str) | {"server_unix_timestamp": later}
    reply = answer(whole, headers={"date": ""})
    page = legacy(FakeHost([reply]), clock=later).page(BTC_DAILY, first, last)
    assert list(page.candles) == expected


def test_the_recorded_minutes_are_read_with_their_holes(recordings: Path) -> None:
    path = recordings / "mb_api" / "dev_v4_candles_BTC-BRL_1m_to_2024-08-31.csv.gz"
    with gzip.open(path, "rt", newline="") as table:
        lines = list(csv.DictReader(table))
    buckets = [int(line["t"]) for line in lines]
    data = {name: [line[name] for line in lines] for name in "ohlcv"} | {"t": buckets}
    now = {"date": "Sun, 01 Sep 2024 12:00:00 GMT"}
    source = v4(FakeHost([answer(data, headers=now)]))
    page = source.page(Series(BTC, Interval.MINUTE), buckets[0], buckets[-1])
    assert [item.bucket for item in page.candles] == buckets
    assert [item.close for item in page.candles] == [exactly(line["c"]) for line in lines]
    assert len(buckets) < Interval.MINUTE.count(page.first, page.last)
    assert page.refused == ()
    assert not page.complete


def test_the_recorded_v4_snippet_is_read(recordings: Path) -> None:
    snippets = json.loads((recordings / "mb_api" / "v4_recorded_snippets.json").read_text())
    (data,) = (body for name, body in snippets.items() if name.startswith("GET /candles"))
    now = {"date": "Sun, 27 Sep 2026 12:02:00 GMT"}
    page = v4(FakeHost([answer(data, headers=now)])).page(
        Series(BTC, Interval.HOUR), data["t"][0], data["t"][-1]
    )
    assert [item.close for item in page.candles] == [exactly(close) for close in data["c"]]


def test_every_recorded_error_body_is_understood(recordings: Path) -> None:
    recorded = json.loads((recordings / "mb_api" / "errors_and_quirks_observed.json").read_text())
    errors = [
        item
        for group in ("mercado_bitcoin_v4", "mercado_bitcoin_v4_candles")
        for item in (
            recorded[group]["responses"] if isinstance(recorded[group], dict) else recorded[group]
        )
        if (item["status"] or 0) >= 400 and "body" in item
    ]
    assert len(errors) >= 8
    for item in errors:
        with pytest.raises(UpstreamRejected) as caught:
            v4(FakeHost([answer(item["body"], item["status"])])).page(
                BTC_DAILY, 1_711_584_000, 1_711_756_800
            )
        assert item["body"]["code"] in str(caught.value)
        assert str(item["status"]) in str(caught.value)
    documented = recorded["mercado_bitcoin_v4_documented_only"]
    for status, kind in (
        ("401", UpstreamRejected),
        ("403", UpstreamBlocked),
        ("500", UpstreamUnavailable),
    ):
        with pytest.raises(kind):
            v4(FakeHost([answer(documented[status], int(status))])).page(
                BTC_DAILY, 1_711_584_000, 1_711_756_800
            )
