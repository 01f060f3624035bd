"""/docs in a real browser, which holds it to its Content-Security-Policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.served import api, get

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("root", ["", "/api/mms"])
def test_the_page_shows_every_operation_and_tries_one_with_nothing_from_elsewhere(
    browser: Browser, tmp_path: Path, root: str
) -> None:
    from playwright.sync_api import expect

    from tests.support.browser import visiting

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
            operation.locator(".opblock-summary-control").click()
            operation.get_by_role("button", name="Try it out").click()
            operation.get_by_role("button", name="Execute").click()
            reply = operation.locator(".live-responses-table tr.response")
            expect(reply.locator(".response-col_status")).to_have_text("200", timeout=60_000)
            shown = reply.locator(".highlight-code code").first
            assert json.loads(shown.inner_text()) == symbols
            assert visit.problems == []
