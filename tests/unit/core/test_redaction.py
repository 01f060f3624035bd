"""The last defence of secrets: what leaves the process in a text."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator

import pytest
import structlog

from app.commands import output
from app.core.logging import Format, configure
from app.core.redaction import hide, redacted
from tests.support.api import FakePrices, FakeRuntime, serving, settings
from tests.support.logs import log_as_before


@pytest.fixture(autouse=True)
def nothing_stays_hidden() -> Iterator[None]:
    """Undo what a test hides or configures."""
    with log_as_before():
        yield
    hide(())


def test_each_spelling_of_a_secret_is_hidden_and_short_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://corporate:pr%40xy/word@proxy.example:3128")
    monkeypatch.setenv("PGPASSWORD", "from-environment")
    hide(
        settings(
            db_url='postgresql://mms:p%40ss"wörd@db.example/mms',
            coingecko_api_key="CG-0123456789",
            mb_api_base_url="https://reader:base-login@exchange.example",
        ).secrets()
    )
    login = base64.b64encode(b"reader:base-login").decode()
    for secret in (
        'p%40ss"wörd',
        'p@ss"wörd',
        'p@ss\\"w\\u00f6rd',
        "p%40ss%22w%C3%B6rd",
        "CG-0123456789",
        "reader",
        "base-login",
        login,
        "corporate",
        "pr@xy/word",
        "from-environment",
    ):
        assert redacted(f"said <{secret}> there") == "said <***> there", secret
    for plain in ("mms", "db.example", "exchange.example", "proxy.example:3128"):
        assert redacted(plain) == plain
    hide(["mms", "123456"])
    assert redacted('{"at":1712345678,"key":123456}') == '{"at":1712345678,"key":***}'
    assert redacted("GET /BRLBTC/mms") == "GET /BRLBTC/mms"


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_in_the_log_is_shown_without_its_secrets(style: Format) -> None:
    stream = io.StringIO()
    configure("INFO", style, stream, secrets=["sesame-open"])
    try:
        raise LookupError("a library repeats sesame-open")
    except LookupError:
        structlog.get_logger().exception("crashed", dsn={"password": "sesame-open"})
    assert "a library repeats ***" in stream.getvalue()
    assert "sesame" not in stream.getvalue()
    if style == "json":
        assert json.loads(stream.getvalue())["event"] == "crashed"


def test_a_command_s_output_and_a_reply_are_shown_without_secrets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hide(["sesame-open"])
    output.say("sesame-open")
    output.json_line({"reason": "sesame-open"})
    assert "sesame" not in "".join(capsys.readouterr())
    with serving(FakeRuntime(price_source=FakePrices())) as api:
        assert b"***" in api.get("/sesame-open").body
