"""What /docs says is complete, true, and needs no network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from app.api.errors import ANSWERS, FORBIDDEN, FROM_THE_EDGE, NOT_FOUND, UNAUTHORIZED
from app.api.models import Problem
from app.api.negotiation import MEDIA_TYPES, SVG
from app.api.routes import (
    anomalies,
    averages,
    chart,
    gaps,
    health,
    latest,
    page,
    pairs,
    prices,
    records,
)
from app.core.market import DAY
from app.domain.tables import Format
from tests.support.api import NOW, Answer, Client, FakePrices, FakeRuntime, load, serving

PATHS = {
    "/": "getIndex",
    "/{pair}/mms": "getAverages",
    "/{pair}/mms.csv": "getAveragesCsv",
    "/{pair}/candles": "getCandles",
    "/{pair}/candles.csv": "getCandlesCsv",
    "/{pair}/chart.svg": "getChart",
    "/{pair}/latest": "getLatest",
    "/latest": "listLatest",
    "/{pair}/gaps": "getGaps",
    "/{pair}/anomalies": "getAnomalies",
    "/{pair}/quarantine": "getQuarantine",
    "/{pair}/revisions": "getRevisions",
    "/collect-once/{symbol}": "collectPrice",
    "/history/{symbol}": "listPrices",
    "/anomaly/{symbol}": "getPriceAnomaly",
    "/supported-symbols": "listSymbols",
    "/pairs": "listPairs",
    "/stream": "getStream",
    "/health": "getHealth",
    "/healthz": "getLiveness",
    "/readyz": "getReadiness",
}
"""Every path with its operationId: generated clients name their functions by it."""

STREAM = "/stream"
"""A reply without an end; its tests are in test_stream_route.py."""

OTHER_FORMATS = {MEDIA_TYPES[each] for each in Format} - {MEDIA_TYPES[Format.JSON]}
ROWS = ("interval", "limit", "order")


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    runtime = FakeRuntime(price_source=FakePrices({"BTC": 6_718_733_000_000}))
    load(runtime.store)
    with serving(runtime) as client:
        yield client


@pytest.fixture(scope="module")
def document(api: Client) -> dict[str, Any]:
    body = api.get("/openapi.json").body
    assert body.endswith(b"}\n")
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    paths = document["paths"]
    posted = {path for path, methods in paths.items() if list(methods) == ["post"]}
    assert posted == {"/collect-once/{symbol}"}
    assert all(list(methods) == ["get"] for path, methods in paths.items() if path not in posted)
    return {path: next(iter(methods.values())) for path, methods in paths.items()}


def test_exactly_the_addresses_of_the_contract_are_there(
    operations: dict[str, dict[str, Any]],
) -> None:
    assert {path: each["operationId"] for path, each in operations.items()} == PATHS
    names = [each["name"] for each in operations["/{pair}/mms"]["parameters"]]
    assert names == ["pair", "range", "from", "to", *ROWS, "format", "time", "locale"]
    names = [each["name"] for each in operations["/{pair}/candles.csv"]["parameters"]]
    assert names == ["pair", "from", "to", "windows", *ROWS, "time", "locale"]


MODELS = {
    (route.path_format, str(status)): said.get("model")
    for module in (anomalies, averages, chart, gaps, health, latest, page, pairs, prices, records)
    for route in module.router.routes
    if isinstance(route, APIRoute)
    for status, said in route.responses.items()
}


def test_every_reply_has_an_example_that_is_what_its_model_says(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    others = (*FROM_THE_EDGE, NOT_FOUND, UNAUTHORIZED, FORBIDDEN)
    codes = {answer.code: answer.status for answer in (*ANSWERS.values(), *others)}
    codes["method-not-allowed"] = 405
    for path, operation in operations.items():
        assert operation["summary"], path
        assert operation["description"], path
        assert {"200", "405"} <= operation["responses"].keys()
        # What the edge answers may come from any address.
        assert {str(answer.status) for answer in FROM_THE_EDGE} <= operation["responses"].keys()
        assert ("404" in operation["responses"]) == ("{" in path)
        for status, written in operation["responses"].items():
            reply = resolved(document, written)
            headers = reply.get("headers", {}).values()
            assert all("example" in resolved(document, header) for header in headers)
            for kind, content in reply.get("content", {}).items():
                if kind in {*OTHER_FORMATS, "text/event-stream", "text/html", SVG}:
                    assert content["example"]
                    continue
                if kind != "application/problem+json":
                    fits(MODELS[path, status], content["example"])
                    continue
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                for code, example in content["examples"].items():
                    fits(Problem, example["value"])
                    assert example["value"]["detail"]
                    assert example["value"]["code"] == code
                    assert example["value"]["status"] == codes[code] == int(status)


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The part of the document, or the component that it refers to."""
    if "$ref" not in part:
        return part
    kind, name = part["$ref"].removeprefix("#/components/").split("/")
    shared: dict[str, Any] = document["components"][kind][name]
    return shared


def fits(model: Any, example: Any) -> None:
    """The example is an instance of the model, and has no member besides."""
    adapter: TypeAdapter[Any] = TypeAdapter(model)
    read = adapter.validate_python(example)
    assert adapter.dump_python(read, mode="json", exclude_unset=True) == example


def test_asking_with_the_examples_answers_with_what_the_model_says_and_no_member_besides(
    api: Client, operations: dict[str, dict[str, Any]]
) -> None:
    for path, operation in operations.items():
        if path == STREAM:
            continue
        parameters = operation.get("parameters", [])
        shown = [each for each in parameters if each["in"] == "query" and each["required"]]
        query = urlencode({each["name"]: each["example"] for each in shown})
        got = ask(api, path, query)
        assert got.status == 200, (path, got.body)
        assert got.body.endswith(b"\n"), path
        if path.endswith(".svg"):
            assert got.header("content-type") == SVG
            continue
        if path.endswith(".csv"):
            assert got.header("content-type") == "text/csv; charset=utf-8; header=present"
            continue
        fits(MODELS[path, "200"], json.loads(got.body))


def test_a_number_against_caches_changes_nothing_of_any_reply(
    api: Client, operations: dict[str, dict[str, Any]]
) -> None:
    for path in operations.keys() - {STREAM}:
        query = "range=20&" if "/mms" in path else ""
        plain, other = (ask(api, path, query + more) for more in ("", "_=1711670400&_=x"))
        assert (other.status, other.header("etag")) == (200, plain.header("etag")), path
        if "collect" not in path:  # each collected price has its own id
            assert other.body == plain.body, path


def ask(api: Client, path: str, query: str = "", *headers: tuple[str, str]) -> Answer:
    """The request that is documented at this address, for what its examples name."""
    method = "POST" if "collect" in path else "GET"
    return api.ask(method, f"{path.format(pair='BRLBTC', symbol='BTC')}?{query}", *headers)


def test_every_header_that_is_sent_is_documented(
    api: Client, operations: dict[str, dict[str, Any]]
) -> None:
    seen = set()
    with serving(FakeRuntime()) as empty:
        for path, operation in operations.items():
            query = "range=20" if "/mms" in path else ""
            for client in (api, empty):
                first = ask(client, path, query)
                wrong = client.ask("DELETE", path.format(pair="BRLBTC", symbol="BTC"))
                replies = [first, ask(client, path, "x=1"), wrong]
                if tag := first.header("etag"):
                    replies.append(ask(client, path, query, ("If-None-Match", tag)))
                for got in replies:
                    documented = operation["responses"][str(got.status)].get("headers", {})
                    sent = {name for name, _ in got.headers} - {"content-type", "content-length"}
                    assert sent <= {name.lower() for name in documented}, (path, got.status)
                    seen.add(got.status)
                    if got is wrong:
                        assert got.header("allow") == documented["Allow"]["example"]
    assert seen == {200, 304, 405, 422, 503}


def named(document: dict[str, Any], path: str, name: str) -> dict[str, Any]:
    """A parameter of the first operation at this path."""
    (operation,) = document["paths"][path].values()
    parameters: list[dict[str, Any]] = operation["parameters"]
    return next(each for each in parameters if each["name"] == name)


def test_a_name_is_allowed_if_it_is_served_in_any_case_and_no_other() -> None:
    served = {"allowed_pairs": "BRLBTC,S-USD", "allowed_symbols": "BTC,$WIF:dogwifcoin,ÉTÉ:ete,İ:i"}
    with serving(FakeRuntime(), **served) as client:
        document = json.loads(client.get("/openapi.json").body)
        pair = named(document, "/{pair}/gaps", "pair")
        symbol = named(document, "/history/{symbol}", "symbol")
        for parameter, path in ((pair, "/{}/quarantine"), (symbol, "/history/{}")):
            pattern = re.compile(parameter["schema"]["pattern"])
            for name in (*NAMES, parameter["example"]):
                served_here = client.get(path.format(quote(name))).status == 200
                assert served_here == bool(pattern.search(name)), name


NAMES = (
    *("BRLBTC", "brlBtc", "btc-brl", "usds", "S-USD", "s-usd", "ſ-usd", "BRLETH", "xBRLBTC"),
    *("btc", "BTC", "$wif", "wif", "été", "İ", "i", "BTC.", "aBTC"),
)


def test_an_interval_that_is_served_by_default_may_be_left_out() -> None:
    for intervals, required in (("1h,1d", False), ("1h,15m", True)):
        with serving(FakeRuntime(), intervals=intervals) as client:
            document = json.loads(client.get("/openapi.json").body)
            interval = named(document, "/{pair}/gaps", "interval")
            served = resolved(document, interval["schema"])["enum"]
            assert sorted(served) == sorted(intervals.split(","))
            assert interval["required"] is required
            left_out = client.get("/BRLBTC/gaps")
            assert (left_out.status == 400) is required


def test_nothing_optional_is_filled_in(operations: dict[str, dict[str, Any]]) -> None:
    """Swagger UI fills in examples and defaults, and would send them all."""
    for path, operation in operations.items():
        for each in operation.get("parameters", ()):
            prefilled = {"example", "examples"} & each.keys() or "default" in each["schema"]
            assert bool(prefilled) == each["required"], (path, each["name"])


def test_a_generator_can_name_all_that_it_makes(document: dict[str, Any]) -> None:
    """In generated Python, a value and a property named alike would be one variable."""
    for name, model in document["components"]["schemas"].items():
        properties = {each.replace("_", "") for each in model.get("properties", ())}
        assert name.lower() not in properties
    schemas = [*every(document, "schema"), *document["components"]["schemas"].values()]
    for schema in schemas:
        values = schema.get("enum", ())
        if any(str(value)[0].isdigit() for value in values):
            names = schema["x-enum-varnames"]
            assert len({*names}) == len(values)
            assert all(map(str.isidentifier, names))


def every(part: Any, name: str) -> Iterator[Any]:
    """All values with this name in the document."""
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == name)
        part = list(part.values())
    if isinstance(part, list):
        for value in part:
            yield from every(value, name)


def test_the_operations_stand_in_reading_order(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert list(tags) == ["Start", "Series", "Prices", "Stream", "Health"]
    assert all(tags.values())
    assert {tag for operation in operations.values() for tag in operation["tags"]} == tags.keys()


def test_the_times_in_the_examples_are_those_of_a_fresh_installation() -> None:
    years = 3 * 365
    with serving(FakeRuntime(now=NOW + years * DAY)) as client:
        text = client.get("/openapi.json").body.decode()
    assert '"2027-03-29T00:00:00Z"' in text
    assert "Tue, 30 Mar 2027 00:05:02 GMT" in text
    assert re.findall(r"202[0-5]-\d\d|(?<!\d)1[67]\d{8}(?!\d)|202[0-5] \d\d:", text) == []


def test_the_documentation_needs_no_other_host(api: Client) -> None:
    page = api.get("/docs")
    assert page.status == 200
    assert page.header("content-type") == "text/html; charset=utf-8"
    text = page.body.decode()
    assert "//" not in text
    assets = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(assets) == 5
    for asset in assets:
        got = api.get(f"/{asset}")
        assert got.status == 200, asset
        assert len(got.body) > 100


@pytest.mark.parametrize(
    "path", ["/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/openapi.json"]
)
def test_a_browser_that_holds_a_file_of_the_documentation_gets_it_once(
    api: Client, path: str
) -> None:
    first = api.get(path)
    assert first.body.endswith(b"\n") or path.endswith("bundle.js")  # which is not ours
    assert first.header("cache-control") == "public, no-cache"
    again = api.get(path, ("If-None-Match", first.header("etag") or ""))
    assert (again.status, again.body) == (304, b"")
    policy = first.header("content-security-policy")
    assert again.header("content-security-policy") == policy
    assert ("script-src 'self'" in str(policy)) == (path == "/docs")


def test_without_documentation_nothing_is_at_its_addresses_and_nothing_leads_there() -> None:
    paths = ("/docs", "/docs/start.js", "/docs/swagger-ui.css", "/openapi.json")
    with serving(FakeRuntime(), docs="off") as client:
        for path in paths:
            for method in ("GET", "HEAD", "POST"):
                assert client.ask(method, path).status == 404, (method, path)
            problem = client.get(path).json()
            assert problem["code"] == "not-found"
            assert problem["detail"] == f"There is nothing at {path}."
        assert client.get("/pairs").status == 200


def test_of_the_package_of_the_documentation_only_what_the_page_loads_is_served(
    api: Client,
) -> None:
    for name in ("redoc.standalone.js", "page.html", "", ".", "..", "%2e%2e%2fcore.py"):
        assert api.get(f"/docs/{name}").status == 404, name
