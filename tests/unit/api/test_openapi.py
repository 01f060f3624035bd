"""What /docs says is complete, true, and needs no network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from app.api.errors import ANSWERS
from tests.support.api import Client, FakePrices, FakeRuntime, load, serving

PATHS = {
    "/{pair}/mms",
    "/{pair}/candles",
    "/{pair}/gaps",
    "/{pair}/anomalies",
    "/{pair}/quarantine",
    "/{pair}/revisions",
    "/collect-once/{symbol}",
    "/history/{symbol}",
    "/anomaly/{symbol}",
    "/supported-symbols",
    "/pairs",
    "/health",
    "/healthz",
    "/readyz",
}


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    runtime = FakeRuntime(price_source=FakePrices({"BTC": 6_718_733_000_000}))
    load(runtime.store)
    with serving(runtime) as client:
        yield client


@pytest.fixture(scope="module")
def operations(api: Client) -> dict[str, dict[str, Any]]:
    paths = json.loads(api.get("/openapi.json").body)["paths"]
    posted = {path for path, methods in paths.items() if list(methods) == ["post"]}
    assert posted == {"/collect-once/{symbol}"}
    assert all(list(methods) == ["get"] for path, methods in paths.items() if path not in posted)
    return {path: next(iter(methods.values())) for path, methods in paths.items()}


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for status, reply in operation["responses"].items():
        for kind, content in reply.get("content", {}).items():
            yield status, kind, content


def test_exactly_the_addresses_of_the_contract_are_there(
    operations: dict[str, dict[str, Any]],
) -> None:
    assert set(operations) == PATHS


def test_every_request_is_explained(operations: dict[str, dict[str, Any]]) -> None:
    for path, operation in operations.items():
        assert operation["summary"], path
        assert len(operation["description"]) > 20, path


def test_every_parameter_has_a_description_and_an_example(
    operations: dict[str, dict[str, Any]],
) -> None:
    for path in ("/{pair}/mms", "/{pair}/candles"):
        for parameter in operations[path]["parameters"]:
            assert parameter["description"], (path, parameter)
            assert parameter["example"], (path, parameter)
    names = [each["name"] for each in operations["/{pair}/mms"]["parameters"]]
    assert names == [
        "pair",
        "from",
        "from_ts",
        "to",
        "to_ts",
        "range",
        "range_days",
        "interval",
    ]


def test_every_reply_has_an_example_and_a_schema(operations: dict[str, dict[str, Any]]) -> None:
    for path, operation in operations.items():
        for status, kind, content in contents(operation):
            assert content["schema"], (path, status, kind)
            assert "example" in content or content["examples"], (path, status, kind)


def test_examples_of_problems_are_what_the_table_says(
    operations: dict[str, dict[str, Any]],
) -> None:
    by_code = {answer.code: answer for answer in ANSWERS.values()}
    seen = set()
    for operation in operations.values():
        for status, kind, content in contents(operation):
            if kind != "application/problem+json":
                continue
            for code, example in content["examples"].items():
                assert example["value"]["code"] == code
                assert example["value"]["status"] == by_code[code].status == int(status)
                assert example["value"]["detail"]
                seen.add(code)
    assert seen >= {"unsupported-pair", "reversed-period", "unknown-parameter"}


def test_asking_with_the_examples_answers(
    api: Client, operations: dict[str, dict[str, Any]]
) -> None:
    for path, operation in operations.items():
        parameters = [
            each
            for each in operation.get("parameters", [])
            if "Another name" not in each["description"]
        ]
        query = urlencode({p["name"]: p["example"] for p in parameters if p["in"] == "query"})
        address = path.replace("{pair}", "BRLBTC").replace("{symbol}", "BTC")
        got = api.ask("POST" if "collect" in path else "GET", f"{address}?{query}")
        assert got.status == 200, (path, got.body)


def test_examples_of_series_have_the_members_of_real_replies(
    api: Client, operations: dict[str, dict[str, Any]]
) -> None:
    for path, query in (("mms", "range=20"), ("candles", "windows=20,50,200"), ("anomalies", "")):
        reply = operations[f"/{{pair}}/{path}"]["responses"]["200"]
        example = reply["content"]["application/json"]["example"]
        got = api.get(f"/BRLBTC/{path}?{query}")
        if path != "anomalies":
            assert set(got.json()[0]) == set(example[0])
        for name in ("X-Data-As-Of", "X-Data-Missing", "X-Data-Stale", "ETag"):
            assert name in reply["headers"]
            assert got.header(name)


def test_the_documentation_needs_no_other_host(api: Client) -> None:
    page = api.get("/docs")
    assert page.status == 200
    text = page.body.decode()
    assert "//" not in re.sub(r"<!--.*?-->|// .*", "", text).replace("<!DOCTYPE", "")
    assets = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(assets) == 3
    for asset in assets:
        got = api.get(asset)
        assert got.status == 200, asset
        assert len(got.body) > 100
    assert '"validatorUrl": null' in text


def test_garbage_around_the_documentation_is_no_server_error(api: Client) -> None:
    for header in (("Range", "bytes=9-1"), ("Range", "x"), ("If-None-Match", '"\xff')):
        got = api.get("/static-offline-docs/favicon.png", header)
        assert got.status < 500
