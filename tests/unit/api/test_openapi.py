"""What /docs says is complete, true, and needs no network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from app.api.errors import ANSWERS
from app.core.errors import StoreUnavailable, UpstreamUnavailable
from app.db.memory import MemorySeriesStore
from tests.support.api import Answer, Client, FakePrices, FakeRuntime, load, serving
from tests.support.schema import mismatches

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
def document(api: Client) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(api.get("/openapi.json").body)
    return found


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    paths = document["paths"]
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
    names = [each["name"] for each in operations["/{pair}/mms"]["parameters"]]
    assert names == ["pair", "from", "from_ts", "to", "to_ts", "range", "range_days", "interval"]


def test_examples_of_problems_are_what_the_table_says(
    operations: dict[str, dict[str, Any]],
) -> None:
    by_code = {answer.code: answer.status for answer in ANSWERS.values()}
    by_code["method-not-allowed"] = 405
    seen = set()
    for operation in operations.values():
        for status, kind, content in contents(operation):
            if kind != "application/problem+json":
                continue
            for code, example in content["examples"].items():
                assert example["value"]["code"] == code
                assert example["value"]["status"] == by_code[code] == int(status)
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
        got = ask(api, path, query)
        assert got.status == 200, (path, got.body)


def ask(api: Client, path: str, query: str = "", *headers: tuple[str, str]) -> Answer:
    """The request that is documented at this address, for what its examples name."""
    method = "POST" if "collect" in path else "GET"
    return api.ask(method, f"{path.format(pair='BRLBTC', symbol='BTC')}?{query}", *headers)


def test_everything_has_an_example_and_that_is_what_its_schema_says(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    checked = 0
    for path, operation in operations.items():
        assert operation["summary"], path
        assert operation["description"], path
        described = list(operation.get("parameters", []))
        for reply in operation["responses"].values():
            described += reply.get("headers", {}).values()
            for content in reply.get("content", {}).values():
                named = content.get("examples", {"": {"value": content.get("example")}})
                described += [
                    {"schema": content["schema"], "example": each["value"]}
                    for each in named.values()
                ]
        for each in described:
            assert mismatches(each["example"], each["schema"], document) == [], (path, each)
            checked += 1
    assert checked > 200


def test_a_wrong_method_is_documented_as_it_is_answered(
    api: Client, operations: dict[str, dict[str, Any]]
) -> None:
    for path, operation in operations.items():
        reply = operation["responses"]["405"]
        [example] = reply["content"]["application/problem+json"]["examples"].values()
        got = api.ask("DELETE", path.format(pair="BRLBTC", symbol="BTC"))
        assert got.header("allow") == reply["headers"]["Allow"]["example"]
        assert {**got.json(), "request_id": "5f0c2a9e41d3b786"} == example["value"]


class NoDatabase(MemorySeriesStore):
    """A store that answers nothing."""

    def state(self, *_asked: Any) -> Any:
        raise StoreUnavailable("gone")

    rows = read = quarantined = revisions = state  # type: ignore[assignment] # any call fails alike


def test_every_header_that_is_sent_is_documented(
    api: Client, operations: dict[str, dict[str, Any]]
) -> None:
    away = FakePrices(trouble=UpstreamUnavailable("wait", host="there", retry_after=9))
    broken = FakeRuntime(store=NoDatabase(), trouble=StoreUnavailable("gone"), price_source=away)
    seen = set()
    with serving(broken) as without_database, serving(FakeRuntime()) as empty:
        for path, operation in operations.items():
            query = "range=20" if path.endswith("/mms") else ""
            for client in (api, empty, without_database):
                first = ask(client, path, query)
                replies = [first, ask(client, path, "x=1"), client.ask("DELETE", path)]
                replies.append(client.get(path.format(pair="BRLXYZ", symbol="XYZ")))
                if tag := first.header("etag"):
                    replies.append(ask(client, path, query, ("If-None-Match", tag)))
                for got in replies:
                    documented = operation["responses"][str(got.status)].get("headers", {})
                    sent = {name for name, _ in got.headers} - {"content-type", "content-length"}
                    assert sent <= {name.lower() for name in documented}, (path, got.status)
                    seen.add((got.status, *sent & {"retry-after", "x-data-reason", "allow"}))
    assert {(304,), (503, "retry-after"), (200, "x-data-reason"), (405, "allow")} <= seen


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
