"""Programs that read tables get the numbers of the JSON: pandas over HTTP, and pages in a row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import httpx
import pandas as pd
import pytest

from tests.support.processes import DEADLINE
from tests.support.served import api
from tests.support.varied_candles import DAYS, store_varied_candles

ALL = "windows=20,50,200"
BRAZIL = {"sep": ";", "decimal": ","}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of BRLBTC at a server with numbers of every kind."""
    folder = tmp_path_factory.mktemp("tables")
    url = f"sqlite:///{folder / 'mms.db'}"
    store_varied_candles(url)
    with api(folder, "api", DB_URL=url, INTERVALS="1d,1h", HISTORY_DAYS=str(DAYS)) as served:
        yield f"http://127.0.0.1:{served.port}/BRLBTC"


def get(url: str) -> httpx.Response:
    reply = httpx.get(url, timeout=DEADLINE)
    assert reply.status_code == 200, reply.text
    return reply


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as JSON has them: the time in unix seconds, and None for a hole."""
    if frame["timestamp"].dtype.kind == "M":
        frame["timestamp"] = frame["timestamp"].astype("int64") // 10**6
    columns = [
        [None if math.isnan(value) else value for value in frame[name].tolist()] for name in frame
    ]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize(
    ("path", "query", "form", "options"),
    [
        ("candles.csv", ALL, "", {}),
        ("candles", ALL, "&format=csv", {}),
        ("candles.csv", f"{ALL}&order=desc&limit=250", "", {}),
        ("candles.csv", ALL, "&time=iso", {"parse_dates": ["timestamp"]}),
        ("candles.csv", ALL, "&locale=pt-BR", BRAZIL),
        ("candles.csv", ALL, "&time=iso&locale=pt-BR", {**BRAZIL, "parse_dates": ["timestamp"]}),
        ("mms.csv", "range=50", "", {}),
        ("mms.csv", "range=20&interval=1h&limit=10000", "", {}),
    ],
)
def test_every_cell_that_pandas_reads_is_the_value_in_the_json(
    here: str, path: str, query: str, form: str, options: dict[str, Any]
) -> None:
    rows = get(f"{here}/{path.removesuffix('.csv')}?{query}").json()
    assert len(rows) >= 250
    assert records(pd.read_csv(f"{here}/{path}?{query}{form}", **options)) == rows


def test_pandas_takes_columns_and_lines_of_json_as_they_are(here: str) -> None:
    candles, averages = f"{here}/candles?{ALL}", f"{here}/mms?range=20&interval=1h&limit=10000"
    columns = pd.DataFrame(get(f"{candles}&format=columns").json())
    assert records(columns) == get(candles).json()
    lines = pd.read_json(f"{averages}&format=ndjson", lines=True, precise_float=True)
    assert records(lines) == get(averages).json()


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_pages_that_link_names_are_a_series_of_more_rows_than_one_reply_has(
    here: str, order: str
) -> None:
    target = f"{here}/candles?interval=1h"
    middle = get(f"{target}&limit=7000").json()[-1]["timestamp"]
    halves = [f"from=2020-01-01&to={middle}", f"from={middle + 1}"]
    whole = [row for half in halves for row in get(f"{target}&{half}").json()]
    assert len(whole) > 10_000
    rows, reply = [], get(f"{target}&from=2020-01-01&limit=3000&order={order}")
    rows += reply.json()
    while "next" in reply.links:
        reply = get(str(reply.url.join(reply.links["next"]["url"])))
        rows += reply.json()
    assert rows == (whole if order == "asc" else whole[::-1])
