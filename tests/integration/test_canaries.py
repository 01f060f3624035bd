"""A canary in each place for a secret, well-formed and not: no command and no reply repeats it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path

import pytest

from app.core.errors import ConfigurationError
from app.core.settings import Settings, load_settings
from app.main import create_app
from tests.support.api import started
from tests.support.commands import inside, run

HALVES = ("Zq7WvX", "9kJp2M")
BETWEEN = ("", "@", "#", "/", "?", ":", "%zz", "%40", " ", "\n", "\\", "[")
"""What a person leaves unescaped inside a password, and one escape that is right."""

PIECES = {half.lower()[at : at + 4] for half in HALVES for at in range(len(half) - 3)}

LOGINS = {
    base64.b64encode(f"{user}:{password}".encode()).decode()
    for between in BETWEEN
    for user, password in [("mms", between.join(HALVES)), (between.join(HALVES), "")]
}
"""The canary as HTTP sends a login."""

COMMANDS = (
    ("workers.initial_loader", "--json"),
    ("workers.price_collector", "--json", "--once"),
    ("workers.price_collector", "--json", "--fetch", "BTC"),
    ("commands.migrate", "--json"),
    ("monitoring.gap_monitor", "--json", "--repair"),
)
NOBODY = "127.0.0.1:1"
"""An address at which nobody listens."""

USUAL = {
    "MB_API_BASE_URL": f"http://{NOBODY}/v4",
    "COINGECKO_API_BASE_URL": f"http://{NOBODY}/v3",
    "UPSTREAM_RETRY_SECONDS": "0.05",
    "MB_REQUESTS_PER_SECOND": "10000",
    "COINGECKO_REQUESTS_PER_SECOND": "10000",
    "ALLOWED_PAIRS": "BRLBTC",
    "LOG_LEVEL": "DEBUG",
    "PORT": "0",
}
HIDDEN = [name for name, field in Settings.model_fields.items() if not field.repr]
"""The settings that may hold a secret: a later one is tried without an edit here."""

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
LIBPQ = ("PGPASSWORD", "PGPASSFILE", "PGSSLPASSWORD")


def secrets() -> Iterator[str]:
    """Every spelling of the canary."""
    yield from (between.join(HALVES) for between in BETWEEN)


def shapes(name: str, at: str = NOBODY) -> Iterator[str]:
    """The canary alone, and where a URL can hold it: password, user, port and query."""
    for secret in secrets():
        yield secret
        for scheme in () if "key" in name.lower() else ("postgresql", "http"):
            yield f"{scheme}://mms:{secret}@{at}/x"
            yield f"{scheme}://{secret}@{at}/x"
            yield f"{scheme}://mms:x@127.0.0.1:{secret}/x"
            yield f"{scheme}://{at}/x?password={secret}"


def silent(text: str, case: object) -> None:
    """Assert that no piece of the canary is in the text."""
    leaks = [piece for piece in PIECES if piece in text.lower()]
    leaks += [login for login in LOGINS if login in text]
    assert not leaks, f"{case!r} shows {leaks}: {text}"


def api(folder: Path, **variables: str) -> str:
    """All that the API says with these variables: its start, /health, a price, its log."""
    with inside(folder, **variables) as (shown, said):
        try:
            with started(create_app()) as client:
                for method, target in (("POST", "/collect-once/BTC"), ("GET", "/health")):
                    answer = client.ask(method, target)
                    assert answer.status in (200, 503), answer
                    said.write(f"{answer.status} {answer.headers} {answer.body!r}")
        except Exception as error:  # noqa: BLE001 - whatever stops the start is shown by uvicorn
            said.write(repr(error))
    return shown.getvalue() + said.getvalue()


def everything(folder: Path, case: object, **variables: str) -> None:
    """Run every command and the API with these variables; none may show the canary."""
    for module, *arguments in COMMANDS:
        end = run(folder, module, *arguments, **variables)
        silent(end.shown + end.said, (module, case))
    silent(api(folder, **variables), ("api", case))


@pytest.fixture
def echo() -> Iterator[str]:
    """The address of a host that refuses every request and repeats all of it, headers too."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"code": "ECHO", "message": str(self.headers)[-180:]}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(60)


@pytest.mark.parametrize("name", HIDDEN)
def test_no_setting_that_may_hold_a_secret_shows_it(name: str, tmp_path: Path, echo: str) -> None:
    usual = {
        **USUAL,
        "MB_API_BASE_URL": f"http://{echo}",
        "COINGECKO_API_BASE_URL": f"http://{echo}",
    }
    if name == "mb_legacy_api_base_url":
        usual["CANDLE_SOURCE"] = "mercado_bitcoin_legacy"
    accepted, refused = [], []
    for value in shapes(name, NOBODY if name.startswith("db") else echo):
        variables = {**usual, name.upper(): value}
        if name == "db_read_url":
            variables["DB_URL"] = value  # both have one login
        try:
            load_settings(None, **{key.lower(): text for key, text in variables.items()})
        except ConfigurationError as error:
            silent(str(error), value)
            refused.append(variables)
        else:
            accepted.append(variables)
    for variables in (*accepted[:1], *refused[:1]):
        everything(tmp_path, variables, **variables)
    for variables, (module, *arguments) in zip(accepted[1:], cycle(COMMANDS), strict=False):
        end = run(tmp_path, module, *arguments, **variables)
        silent(end.shown + end.said, (module, variables))
    end = run(tmp_path, "serve", **refused[0])
    silent(end.shown + end.said, refused[0])
    assert end.code == 2


def test_no_proxy_shows_its_login(tmp_path: Path) -> None:
    elsewhere = {
        **USUAL,
        "MB_API_BASE_URL": "https://exchange.invalid",
        "COINGECKO_API_BASE_URL": "https://prices.invalid",
    }
    for value, name in zip(shapes("proxy"), cycle(PROXIES), strict=False):
        end = run(
            tmp_path, "workers.price_collector", "--fetch", "BTC", **{**elsewhere, name: value}
        )
        silent(end.shown + end.said, (name, value))
        assert end.code == 1 or f"could not start: {name} " in end.said
    name, refused = "https_proxy", f"http://mms:{'#'.join(HALVES)}@{NOBODY}"
    for value in (refused, refused.replace("#", "%23")):
        everything(tmp_path, value, **{**elsewhere, name: value})
    end = run(tmp_path, "serve", **{**elsewhere, name: refused})
    silent(end.shown + end.said, refused)
    assert (end.code, end.said.count("\n"), name in end.said) == (2, 1, True)
    (tmp_path / "fresh").mkdir()
    for module, *arguments in COMMANDS[:3]:
        end = run(tmp_path / "fresh", module, *arguments, **{**elsewhere, name: refused})
        assert (end.code, end.said.count("\n"), name in end.said) == (2, 1, True)
    assert list((tmp_path / "fresh").iterdir()) == []  # found before a database is made


@pytest.mark.parametrize("name", LIBPQ)
def test_no_password_of_libpq_is_shown(name: str, tmp_path: Path) -> None:
    # They are not ours to parse, so one value has all that may be left unescaped.
    secret = "".join(BETWEEN).join(HALVES)
    url = f"postgresql://mms@{NOBODY}/x"
    everything(tmp_path, secret, **{**USUAL, "DB_URL": url, name: secret})
