"""/docs in a real browser, which holds it to its Content-Security-Policy."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from checks.fuzz import demo
from tests.support.figures import say
from tests.support.patience import until
from tests.support.processes import DEADLINE
from tests.support.served import api, get

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

AS_INSTALLED = {"INTERVALS": "1d", "HISTORY_DAYS": "365", "RATE_LIMIT": "600/minute"}


def test_every_read_on_the_page_succeeds_as_it_is_filled_in(
    browser: Browser, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    from tests.support.browser import visiting

    with demo(tmp_path, **AS_INSTALLED) as url:
        until(lambda: read(f"{url}/readyz")["data"] == "present", DEADLINE)
        paths = read(f"{url}/openapi.json")["paths"]
        with visiting(browser, f"{url}/docs") as visit:
            reads = visit.page.locator(".opblock-get")
            expect(reads).to_have_count(sum("get" in methods for methods in paths.values()))
            for operation in reads.all():
                if operation.get_by_text("/stream", exact=True).count():
                    continue  # Swagger UI waits for the end of a reply, and a stream has none
                execute(operation)
                status = operation.locator(".live-responses-table tr.response .response-col_status")
                expect(status).to_have_text(re.compile("[0-9]{3}"), timeout=60_000)
                address = operation.locator(".request-url pre").inner_text().removeprefix(url)
                say(f"{status.inner_text()} GET {address}")
                assert status.inner_text() == "200", address
                if address.endswith(("/mms?range=20", "/candles")):
                    assert read(f"{url}{address}"), address
                # An open operation makes the page slower for the next one.
                operation.locator(".opblock-summary-control").click()
            assert visit.problems == []


def read(url: str) -> Any:
    """The body of a reply, read as JSON."""
    with urllib.request.urlopen(url, timeout=DEADLINE) as reply:
        return json.load(reply)


def execute(operation: Locator) -> None:
    """Send the request of an operation, with the parameters that the page fills in."""
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()


def test_under_a_path_the_page_shows_every_operation_with_nothing_from_elsewhere(
    browser: Browser, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    from tests.support.browser import visiting

    root = "/api/mms"
    with api(tmp_path, "api", ROOT_PATH=root) as served:
        connection = served.connect()
        policy = get(connection, f"{root}/docs").headers["content-security-policy"]
        paths = json.loads(get(connection, f"{root}/openapi.json").body)["paths"]
        symbols = json.loads(get(connection, f"{root}/supported-symbols").body)
        connection.close()
        assert "unsafe" not in policy
        with visiting(browser, f"http://127.0.0.1:{served.port}{root}/docs") as visit:
            operations = visit.page.locator(".opblock")
            expect(operations).to_have_count(sum(map(len, paths.values())), timeout=60_000)
            operation = operations.filter(has_text="/supported-symbols")
            execute(operation)
            reply = operation.locator(".live-responses-table tr.response")
            expect(reply.locator(".response-col_status")).to_have_text("200", timeout=60_000)
            shown = reply.locator(".highlight-code code").first
            assert json.loads(shown.inner_text()) == symbols
            assert visit.problems == []
