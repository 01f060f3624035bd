"""Reading recorded candles: three formats, exact decimals, and one clear line for a bad file."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import ConfigurationError
from app.core.market import DAY, Interval
from app.sandbox import wire
from app.sandbox.book import Bar
from app.sandbox.recording import parse_recording, read_recording, shift_to_yesterday

T = 1_700_006_400  # 2023-11-15 00:00 UTC
LEGACY = {
    "status_code": 100,
    "server_unix_timestamp": T + 2 * DAY + 5,
    "candles": [
        {"timestamp": T + i * DAY, "open": 1, "high": 3, "low": 1, "close": 2, "volume": 9}
        for i in range(3)
    ],
}
TABLE = f"timestamp,open,high,low,close,volume\n{T},1,3,1,2,9\n{T + DAY},1,3,1,2,9\n"


def test_the_three_formats_say_the_same() -> None:
    rows = [(T, "1.5", "3", "1", "92233720368.54775807", "0"), (T + 60, "2", "2", "2", "2", "0.1")]
    names = ("timestamp", "open", "high", "low", "close", "volume")
    legacy = ",".join(
        "{" + ",".join(f'"{n}":{v}' for n, v in zip(names, row, strict=True)) + "}" for row in rows
    )
    columns = zip("tohlcv", zip(*rows, strict=True), strict=True)
    texts = [
        f'{{"candles":[{legacy}],"server_unix_timestamp":{T}}}',
        json.dumps({key: list(values) for key, values in columns}),
        "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]),
        "\n".join(["v,x,t,o,h,l,c", *(f"{r[5]},-,{r[0]},{','.join(r[1:5])}" for r in rows)]),
    ]
    recordings = [parse_recording(text, "f") for text in texts]
    assert {item.interval for item in recordings} == {Interval.MINUTE}
    assert recordings[0].bars == (
        Bar(T, *map(Decimal, ("1.5", "3", "1", "92233720368.54775807", "0"))),
        Bar(T + 60, *map(Decimal, ("2", "2", "2", "2", "0.1"))),
    )
    assert all(item.bars == recordings[0].bars for item in recordings)
    assert [item.server_time for item in recordings] == [T, None, None, None]


def test_wrong_candles_are_kept_because_judging_them_is_the_loader_s_job() -> None:
    text = f"t,o,h,l,c,v\n{T + 60},1,0.5,2,-1,-3\n{T},0,0,0,0,0\n{T + 60},1,1,1,1,1\n"
    bars = parse_recording(text, "f").bars
    assert [bar.stamp for bar in bars] == [T, T + 60, T + 60]
    assert bars[1] == Bar(T + 60, *map(Decimal, ("1", "0.5", "2", "-1", "-3")))


ODD_VOLUMES: list[tuple[str, str | None, Any]] = [
    # in a JSON recording, in CSV if that has a form of it, and what is sent in both formats
    ("null", "", None),
    ('""', None, ""),
    ('"NaN"', "NaN", "NaN"),
    ('"much"', "much", "much"),
    ("NaN", None, "bare NaN"),
    ("-Infinity", None, "bare -Infinity"),
    ("true", None, True),
    ("[]", None, []),
]


@pytest.mark.parametrize(("in_json", "in_csv", "sent"), ODD_VOLUMES)
def test_whatever_stands_in_the_place_of_a_volume_is_sent_as_it_is(
    in_json: str, in_csv: str | None, sent: Any
) -> None:
    legacy = json.dumps(LEGACY).replace('"volume": 9', f'"volume": {in_json}', 1)
    columns = f'{{"t":[{T},{T + DAY}],"v":[{in_json},"9"],' + ",".join(
        f'"{name}":["1","1"]' for name in "ohlc"
    )
    texts = [legacy, columns + "}"]
    if in_csv is not None:
        texts.append(_csv(in_csv))
    for text in texts:
        bars = parse_recording(text, "f").bars
        for reply, read in (
            (wire.columns(bars), lambda data: data["v"]),
            (wire.legacy_candles(bars, 1), lambda data: [c["volume"] for c in data["candles"]]),
        ):
            data = json.loads(reply.body, parse_constant=lambda name: f"bare {name}")
            first, second, *_ = read(data)
            assert first == sent
            assert Decimal(second) == 9


def _csv(volume: str) -> str:
    return f"timestamp,open,high,low,close,volume\n{T},1,3,1,2,{volume}\n{T + DAY},1,3,1,2,9\n"


@pytest.mark.parametrize(
    "text",
    [
        f"t,o,h,l,c\n{T},1,1,1,1\n{T + DAY},1,1,1,1\n",
        f"timestamp,open,high,low,close\n{T},1,1,1,1\n{T + DAY},1,1,1,1\n",
        f'{{"t":[{T},{T + DAY}],"o":[1,1],"h":[1,1],"l":[1,1],"c":[1,1]}}',
        f'{{"t":[{T},{T + DAY}],"o":[1,1],"h":[1,1],"l":[1,1],"c":[1,1],"v":[1]}}',
        json.dumps(LEGACY).replace(', "volume": 9', ""),
    ],
)
def test_a_recording_may_have_no_volumes_at_all(text: str) -> None:
    bars = parse_recording(text, "f").bars
    assert {bar.volume for bar in bars} == {None}
    assert json.loads(wire.columns(bars).body)["v"] == [None] * len(bars)


def test_gzip_blank_lines_a_byte_order_mark_and_seconds_written_as_floats_do_no_harm(
    tmp_path: Path,
) -> None:
    path = tmp_path / "table.csv.gz"
    text = TABLE.replace(str(T), f"{T}.0").replace("\n", "\r\n\r\n")
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    assert read_recording(path).bars == parse_recording(TABLE, "f").bars


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the header must have"),
        (TABLE + f"{T + 2 * DAY},1,3,abc,2,9\n", "row 3 "),
        (TABLE + f"{T + 2 * DAY},1,3,nan,2,9\n", "row 3 "),
        (TABLE + f"{T + 2 * DAY},1,3\n", "row 3 "),
        (TABLE.replace(str(T), "2023-11-15"), "row 1 "),
        (TABLE.replace(str(T), f"{T}000"), "row 1 .* unix seconds"),
        (TABLE.replace(str(T + DAY), str(T + 100)), "the smallest distance .* is 100 s"),
        (TABLE.rsplit("\n", 2)[0], "has 1 candles"),
        ("[" * 100_000, ""),
        ("[]", "no recorded reply"),
        ('{"t":[1],"o":[],"h":[],"l":[],"c":[],"v":[]}', ""),
        ('{"candles":[]}', "'server_unix_timestamp' is missing"),
        ('{"candles":[1],"server_unix_timestamp":1}', "row 1 "),
        (json.dumps(LEGACY).replace('"high": 3', '"high": null', 1), "row 1 "),
    ],
)
def test_a_bad_file_is_refused_in_one_line_with_the_row_or_the_problem(
    text: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^FILE: {problem}") as caught:
        parse_recording(text, "FILE")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\x1f\x8b garbage", b"\xff\xfe\x00", None])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "x.csv"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"x\.csv: cannot be read"):
        read_recording(path)


@pytest.mark.parametrize("interval", [Interval.MINUTE, Interval.DAY])
def test_a_shifted_table_ends_with_yesterday_s_last_bucket(interval: Interval) -> None:
    stamps = [T + i * interval.seconds for i in (0, 1, 5)]
    text = "\n".join(["t,o,h,l,c,v", *(f"{stamp},1,1,1,1,1" for stamp in stamps)])
    now = T + 99 * DAY + 1
    shifted = shift_to_yesterday(parse_recording(text, "f"), now)
    last = T + 99 * DAY - interval.seconds
    assert [last - bar.stamp for bar in shifted.bars] == [
        5 * interval.seconds,
        4 * interval.seconds,
        0,
    ]


def test_without_any_closed_candle_there_is_nothing_to_shift() -> None:
    text = json.dumps({**LEGACY, "server_unix_timestamp": T})
    with pytest.raises(ConfigurationError, match="no closed candle"):
        shift_to_yesterday(parse_recording(text, "f"), T)
