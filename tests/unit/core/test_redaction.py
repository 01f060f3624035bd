"""The last defence of secrets: what leaves the process in a text."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator

import pytest
import structlog

from app.commands import output
from app.core.api_keys import new_key
from app.core.logging import Format, configure
from app.core.redaction import hide, masked, redacted
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


NAMES = [
    *[
        "api_key",
        "apikey",
        "key",
        "token",
        "access_token",
        "sig",
        "signature",
        "password",
        "passwd",
    ],
    *["pwd", "secret", "auth", "authorization", "jwt", "session", "X-Amz-Credential", "ApiKey"],
    *[
        "PASSWORD",
        "api%5Fkey",
        "api%5fk%65y",
        "%74oken",
        "to%256ben",
        "a.token",
        "token[]",
        "api+key",
    ],
]
SECRET = "Zq7WvX9kJp2M"


@pytest.mark.parametrize(
    "target",
    [
        *["{n}={s}", "from=1&{n}={s}&to=2", "{n}={s}&{n}={s}", "a=1;{n}={s}", "{n}={s};b=2"],
        *["{n}%3D{s}", "{n}%253D{s}", "{n}={s}%26x", "{n}={s}=", "url=https://h.example/?{n}={s}"],
        *["url=https%3A%2F%2Fh.example%2F%3F{n}%3D{s}", "?{n}={s}", "&&{n}={s}", "{n}=%22{s}%22"],
        *["/history/BTC%3F{n}={s}", "/history/BTC%3F{n}%3D{s}", "/BTC;{n}={s}/x", "{n}==&{n}={s}"],
    ],
)
def test_what_a_client_names_a_secret_is_masked(target: str) -> None:
    for name in NAMES:
        written = target.format(n=name, s=SECRET)
        assert "***" in masked(written)
        for cut in range(len(written) + 1):  # as a line of the log may be
            assert SECRET[:4] not in masked(written[:cut]), written[:cut]


@pytest.mark.parametrize(
    "target",
    [
        *["", "/", "/BRLBTC/mms", "/brl%62tc/mms", "from=1704067200&to=1711670400&range=20"],
        *["from_ts=2024-01-01T00%3A00%3A00Z&range_days=20", "limit=%zz", "a=b&a=c", "?x", "é=1"],
        *[
            "threshold=0.05&method=robust",
            "windows=20,50,200",
            "a=monkey&b=1",
            "key",
            "/keys/passes",
        ],
    ],
)
def test_what_tells_of_no_secret_is_shown_as_it_came(target: str) -> None:
    assert masked(target) == target


def test_an_api_key_is_in_no_path_and_no_query_and_no_line_of_the_log() -> None:
    key = new_key()
    for target in (f"x={key}", f"/history/{key}", f"a=1&{key}", key.replace("mms", "%6Dms")):
        for cut in range(len(target) + 1):
            assert key[4:12] not in masked(target[:cut])
    stream = io.StringIO()
    configure("INFO", "json", stream)
    structlog.get_logger().info("said", words=f"Bearer {key}", key_id="ops")
    line = json.loads(stream.getvalue())
    assert (line["words"], line["key_id"]) == ("Bearer ***", "ops")


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_field_of_the_log_that_is_named_after_a_secret_has_no_value(style: Format) -> None:
    configure("INFO", style, stream := io.StringIO())
    names = ["password", "token", "api_key", "Authorization", "access_token", "cache_secret"]
    structlog.get_logger().info("said", **dict.fromkeys(names, SECRET), tokens_left=3, key="ops")
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count("***") == len(names)
    assert "3" in stream.getvalue()
    assert "ops" in stream.getvalue()
