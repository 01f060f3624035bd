"""Mercado Bitcoin's two formats become the same page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core.errors import (
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.core.market import Candle, CandlePage, Interval, Series, VolumeNote
from app.core.ports import CandleSource
from tests.support.candles import BTC, BTC_DAILY, DAY
from tests.unit.sources.upstream_fakes import NOW, Answer, FakeHost, answer, legacy, v4

TODAY = DAY.floor(NOW)
FIRST = TODAY - 2 * DAY.seconds
ROWS = [
    (FIRST, "355000.00000000", "356500.5", "351000", "355889.5582945", "20.1"),
    (FIRST + 86_400, "355889.5582945", "356834.98169774", "348861.33", "353446.62655678", "15.6"),
    (TODAY, "353488.07", "355269.14146234", "352567", "353000", "7.39252324"),
]
CANDLES = (
    Candle(FIRST, 35500000000000, 35650050000000, 35100000000000, 35588955829450, 2010000000),
    Candle(
        TODAY - 86_400, 35588955829450, 35683498169774, 34886133000000, 35344662655678, 1560000000
    ),
)
Build = Callable[[FakeHost], CandleSource]


def columns(rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: [row[i] for row in rows] for i, name in enumerate("tohlcv")}


def objects(rows: list[tuple[Any, ...]]) -> bytes:
    """The legacy reply, its prices as JSON numbers with the digits of `rows`."""
    names = ("timestamp", "open", "high", "low", "close", "volume")
    candles = ",".join(
        "{" + ",".join(f'"{n}":{v}' for n, v in zip(names, row, strict=True)) + "}" for row in rows
    )
    return (
        f'{{"status_code":100,"status_message":"Success","server_unix_timestamp":{NOW},'
        f'"candles":[{candles}]}}'
    ).encode()


PAGE = CandlePage(FIRST, TODAY - 86_400, CANDLES, (), NOW, NOW, complete=True)


def test_both_formats_give_the_same_page_of_closed_candles() -> None:
    assert v4(FakeHost([answer(columns(ROWS))])).page(BTC_DAILY, FIRST, TODAY) == PAGE
    assert legacy(FakeHost([answer(body=objects(ROWS))])).page(BTC_DAILY, FIRST, TODAY) == PAGE


def test_each_format_tolerates_the_other_s_way_with_numbers_and_fields_it_does_not_know() -> None:
    numbers = objects(ROWS)
    mixed = {**columns(ROWS), "s": "ok", "nb": None}
    text = json.dumps(mixed)
    for row in ROWS:
        for value in row[1:]:
            text = text.replace(f'"{value}"', value)
    assert text.count('"') < json.dumps(mixed).count('"')
    assert v4(FakeHost([answer(body=text.encode())])).page(BTC_DAILY, FIRST, TODAY) == PAGE
    strings = json.loads(numbers, parse_float=str, parse_int=str)
    strings |= {"status_code": 100, "server_unix_timestamp": NOW, "extra": {}}
    assert legacy(FakeHost([answer(strings)])).page(BTC_DAILY, FIRST, TODAY) == PAGE


def test_the_questions_are_asked_as_the_exchange_documents_them() -> None:
    host = FakeHost([answer(columns([]))])
    v4(host).page(Series(BTC, Interval.THREE_HOURS), 10_800, 21_600)
    assert host.requests[0].url.path == "/api/v4/candles"
    assert dict(host.requests[0].url.params) == {
        "symbol": "BTC-BRL",
        "resolution": "3h",
        "from": "10800",
        "to": "21600",
    }
    host = FakeHost([answer(body=objects([]))])
    legacy(host).page(BTC_DAILY, FIRST, TODAY)
    assert host.requests[0].url.path == "/api/v4/BRLBTC/candle"
    assert dict(host.requests[0].url.params) == {
        "from": str(FIRST),
        "to": str(TODAY),
        "precision": "1d",
    }


@pytest.mark.parametrize("source", [v4, legacy])
def test_a_page_is_one_request_and_holds_five_hundred_buckets(source: Build) -> None:
    host = FakeHost(
        [answer(body=objects([]) if source is legacy else json.dumps(columns([])).encode())]
    )
    under_test = source(host)
    assert under_test.page_size == 500
    page = under_test.page(BTC_DAILY, FIRST, TODAY)
    assert page == replace(PAGE, candles=())
    assert len(host.requests) == 1


def test_the_exchange_s_clock_and_not_ours_says_what_is_closed() -> None:
    early = {"date": "Sun, 31 Mar 2024 00:00:01 GMT"}
    late = {"date": "Sun, 31 Mar 2024 00:00:02 GMT"}
    ours = TODAY + 86_400 + 30.0
    rows = columns([*ROWS, (TODAY + 86_400, *ROWS[2][1:])])
    host = FakeHost([answer(rows, headers=early), answer(rows, headers=late)])
    source = v4(host, clock=ours)
    assert len(source.page(BTC_DAILY, FIRST, TODAY).candles) == 2
    assert len(source.page(BTC_DAILY, FIRST, TODAY).candles) == 3


@pytest.mark.parametrize(("skew", "warnings"), [(-121, 1), (120, 0), (121, 1)])
def test_clocks_that_differ_by_more_than_two_minutes_are_reported_once(
    skew: int, warnings: int
) -> None:
    source = v4(FakeHost([answer(columns(ROWS))]), clock=NOW + skew)
    with capture_logs() as logs:
        for _ in range(3):
            assert source.page(BTC_DAILY, FIRST, TODAY).exchange_time == NOW
    assert [line["event"] for line in logs] == ["host_clock_skew"] * warnings
    for line in logs:
        assert (line["host_time"], line["our_time"]) == (NOW, NOW + skew)


GOOD = columns(ROWS)


@pytest.mark.parametrize(
    "data",
    [
        *[{}, None, [GOOD], "ok", 5, {"s": "ok"}, {"candles": [1]}],
        *[{name: GOOD[name] for name in GOOD if name != absent} for absent in "tohlc"],
        {**GOOD, "c": {}},
        {**GOOD, "t": GOOD["t"][:-1]},
    ],
)
def test_a_v4_reply_that_is_no_table_is_nonsense_as_a_whole(data: object) -> None:
    with pytest.raises(UpstreamNonsense, match=r"BTC-BRL 1d from exchange\.example"):
        v4(FakeHost([answer(data)])).page(BTC_DAILY, FIRST, TODAY)


WITHOUT_VOLUMES = replace(
    PAGE,
    candles=tuple(replace(candle, volume=None) for candle in CANDLES),
    notes=tuple(VolumeNote(candle.bucket, "The volume is missing.") for candle in CANDLES),
)


@pytest.mark.parametrize("volumes", [{}, {"v": None}, {"v": []}, {"v": {}}, {"v": ["1"] * 2}])
def test_a_v4_reply_without_as_many_volumes_has_none(volumes: dict[str, object]) -> None:
    data = {name: GOOD[name] for name in "tohlc"} | volumes
    assert v4(FakeHost([answer(data)])).page(BTC_DAILY, FIRST, TODAY) == WITHOUT_VOLUMES


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "9" * 5_000, "1e400"])
@pytest.mark.parametrize("source", [v4, legacy])
def test_one_number_that_is_none_costs_no_more_than_its_own_value(source: Build, text: str) -> None:
    def page(number: str) -> CandlePage:
        host = FakeHost([answer(body=body.replace(number.encode(), text.encode()))])
        return source(host).page(BTC_DAILY, FIRST, TODAY)

    quoted = json.dumps(columns(ROWS)).replace('"20.1"', "20.1").replace('"351000"', "351000")
    body = quoted.encode() if source is v4 else objects(ROWS)
    good, (note,) = page("20.1"), page("20.1").notes
    assert good.candles == (replace(CANDLES[0], volume=None), CANDLES[1])
    assert (note.bucket, good.refused) == (FIRST, ())
    bad = page("351000")
    assert bad.candles == CANDLES[1:]
    assert [item.bucket for item in bad.refused] == [FIRST]
    assert bad.notes == ()


@pytest.mark.parametrize("member", ["extra", "error", "code", "status", "server_unix_timestamp"])
@pytest.mark.parametrize("source", [v4, legacy])
def test_a_nan_beside_the_candles_costs_nothing(source: Build, member: str) -> None:
    whole = objects(ROWS).replace(b'"server_unix_timestamp"', b'"was"')
    body = json.dumps(columns(ROWS)).encode() if source is v4 else whole
    spoilt = b'{"' + member.encode() + b'":NaN,' + body[1:]
    assert source(FakeHost([answer(body=spoilt)])).page(BTC_DAILY, FIRST, TODAY) == PAGE


def test_a_legacy_candle_may_lack_its_volume() -> None:
    body = objects(ROWS).replace(b'"volume":20.1', b'"extra":1').replace(b"15.6}", b"null}")
    assert legacy(FakeHost([answer(body=body)])).page(BTC_DAILY, FIRST, TODAY) == WITHOUT_VOLUMES


@pytest.mark.parametrize(
    "data",
    [
        *[{}, None, "ok", {"status_code": 100}, {"candles": {}}],
        *[{"candles": [None]}, {"candles": [[1, 2]]}, {"candles": "none"}],
    ],
)
def test_a_legacy_reply_that_is_no_list_of_candles_is_nonsense_as_a_whole(data: object) -> None:
    with pytest.raises(UpstreamNonsense, match=r"BTC-BRL 1d from exchange\.example"):
        legacy(FakeHost([answer(data)])).page(BTC_DAILY, FIRST, TODAY)


NOTHING: list[object] = [
    [],
    {"s": "no_data"},
    {"s": "no_data", "nextTime": FIRST - 86_400},
    {"s": "no_data", **dict.fromkeys("tohlcv"), "errmsg": None},
    dict.fromkeys("tohlcv"),
    {"s": "ok", **columns([])},
    {"t": [], "o": None, "h": [], "l": [], "c": [], "v": None},
    {"t": None},
    {"candles": None},
    {"status_code": 100, "status_message": "Success", "candles": []},
]


@pytest.mark.parametrize("source", [v4, legacy])
@pytest.mark.parametrize("reply", [*map(answer, NOTHING), answer(body=b"", status=204)])
def test_every_way_to_say_that_there_is_nothing_is_a_page_without_candles(
    source: Build, reply: Answer
) -> None:
    page = source(FakeHost([reply])).page(BTC_DAILY, FIRST, TODAY)
    assert page == replace(PAGE, candles=())


@pytest.mark.parametrize("source", [v4, legacy])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer({"s": "error", "errmsg": "unknown symbol", "t": None}), UpstreamRejected),
        (answer(body=b""), UpstreamNonsense),
        (answer(body=b"", headers={"content-length": ""}), UpstreamError),
    ],
)
def test_an_error_or_an_empty_body_does_not_say_that_there_is_nothing(
    source: Build, reply: Answer, kind: type[UpstreamError]
) -> None:
    with pytest.raises(kind):
        source(FakeHost([reply])).page(BTC_DAILY, FIRST, TODAY)


def test_rows_of_nulls_are_absences_and_objects_without_prices_are_refused() -> None:
    empty = (FIRST + 86_400, *[None] * 4, "0")
    page = v4(FakeHost([answer(columns([ROWS[0], empty, ROWS[2]]))])).page(BTC_DAILY, FIRST, TODAY)
    assert page == replace(PAGE, candles=CANDLES[:1])
    data = json.loads(objects([ROWS[0], ROWS[2]]), parse_float=str)
    data["candles"].insert(1, dict.fromkeys(data["candles"][0]) | {"timestamp": empty[0]})
    assert legacy(FakeHost([answer(data)])).page(BTC_DAILY, FIRST, TODAY) == page
    data["candles"][1] = {"timestamp": empty[0], "o": "1"}
    page = legacy(FakeHost([answer(data)])).page(BTC_DAILY, FIRST, TODAY)
    assert [item.reason for item in page.refused] == ["The open (not sent) is no number."]


@pytest.mark.parametrize(
    ("headers", "word", "made_at"),
    [
        ({}, NOW - 40, NOW - 40),
        ({}, NOW + 40, NOW),
        ({"age": "30"}, NOW - 10, NOW - 30),
        ({"age": "30"}, NOW - 50, NOW - 50),
        ({"date": ""}, NOW - 50, NOW - 50),
        ({"date": "", "age": "30"}, None, NOW - 30),
    ],
)
def test_of_what_the_headers_and_the_body_say_of_its_time_the_older_counts(
    headers: dict[str, str], word: int | None, made_at: int
) -> None:
    body: dict[str, object] = {"server_unix_timestamp": word, "candles": []}
    page = legacy(FakeHost([answer(body, headers=headers)])).page(BTC_DAILY, FIRST, TODAY)
    assert page.exchange_time == made_at


def coded(code: str, status: int = 200) -> Answer:
    return answer({"code": code, "message": "as documented"}, status)


@pytest.mark.parametrize("source", [v4, legacy])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (coded("PUBLIC_DATA|LIST_CANDLES|SYMBOL_IS_INVALID", 400), UpstreamRejected),
        (coded("API|ROUTE_NOT_FOUND", 404), UpstreamRejected),
        (coded("REQUEST_RATE_EXCEEDED"), UpstreamUnavailable),
        (coded("API|REQUEST_RATE_EXCEEDED", 400), UpstreamUnavailable),
        (coded("API_UNAVAILABLE"), UpstreamUnavailable),
        (coded("REQUEST_DENIED", 429), UpstreamBlocked),
        (answer({"status": 503, "message": "maintenance"}), UpstreamUnavailable),
    ],
)
def test_the_exchange_s_own_codes_decide_what_an_error_means(
    source: Build, reply: Answer, kind: type[UpstreamError]
) -> None:
    with pytest.raises(UpstreamError) as caught:
        source(FakeHost([reply])).page(BTC_DAILY, FIRST, TODAY)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(429, UpstreamUnavailable), (503, UpstreamUnavailable)],
        *[(203, UpstreamRejected), ("error", UpstreamRejected)],
    ],
)
def test_a_legacy_status_code_other_than_success_is_an_error(
    status: object, kind: type[UpstreamError]
) -> None:
    data = {"status_code": status, "status_message": "Moeda inválida", "candles": []}
    with pytest.raises(kind, match=f"{status}: Moeda inválida"):
        legacy(FakeHost([answer(data)])).page(BTC_DAILY, FIRST, TODAY)
