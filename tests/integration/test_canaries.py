"""A canary in each place for a secret, well-formed and not: no command and no reply repeats it."""

from __future__ import annotations

import base64
import gzip
import json
import threading
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, product
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from pydantic import ValidationError
from sqlalchemy import Engine

from app import __main__ as mms
from app.bootstrap import for_api, open_price_source
from app.core.api_keys import digest_of
from app.core.errors import ConfigurationError, MmsError
from app.core.settings import Settings, load_settings
from app.main import create_app
from app.sources.network import network_to
from app.supervisor import Job
from tests.support.api import started
from tests.support.commands import inside, run
from tests.support.figures import say
from tests.support.memcached import Memcached
from tests.support.postgres import Postgres

HALVES = ("Zq7WvXr4T", "9kJp2MhY6")
BETWEEN = ("", "@", "#", "/", "?", ":", "%", "%zz", "%40", " ", "\n", "\\", "[")
"""What a person leaves unescaped inside a password, and one escape that is right."""

PIECES = {half.lower()[at : at + 4] for half in HALVES for at in range(len(half) - 3)}


def encoded(half: str) -> Iterator[str]:
    """A half of the canary in hexadecimal digits and in base64, wherever it begins there."""
    yield half.encode().hex()
    for before in range(3):
        text = base64.b64encode(bytes(before) + half.encode()).decode()
        yield text[-(-before * 8 // 6) : (before + len(half)) * 8 // 6]


ENCODED = {text for half in HALVES for text in encoded(half)}

SEARCHED: Counter[str] = Counter()
"""How many texts were searched, and how many characters they had."""

COMMANDS = (
    ("workers.initial_loader", "--json"),
    ("workers.price_collector", "--json", "--once"),
    ("workers.price_collector", "--json", "--fetch", "BTC"),
    ("commands.migrate", "--json"),
    ("monitoring.gap_monitor", "--json", "--repair"),
)
REFUSED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(set(mms.COMMANDS) - {"sandbox"}, ()),
    "reload": ("BRLBTC",),
    "backup": ("--json", "file"),
    "restore": ("file",),
    "keys": ("list",),
}
"""Every command of `mms` that reads settings, with what it must be told."""

ENDING: Sequence[tuple[str, ...]] = (
    *[("migrate",), ("load",), ("update",), ("reload", "BRLBTC"), ("collect", "--once")],
    *[("collect", "--fetch", "BTC"), ("monitor", "--repair"), ("backup", "one.mmsb")],
    *[("restore", "one.mmsb"), ("restore", "--replace", "one.mmsb"), ("keys", "list")],
)
"""Every command of `mms` that ends by itself."""

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
    SEARCHED.update(texts=1, characters=len(text))
    leaks = [piece for piece in PIECES if piece in text.lower()]
    leaks += [piece for piece in ENCODED if piece in text]
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


STATUSES = (400, 401, 403, 500, 404, 302, 407)


@pytest.fixture
def echo() -> Iterator[str]:
    """The address of a host that refuses every request in another way, and repeats all of it."""
    statuses = cycle(STATUSES)

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            secrets = [
                self.headers.get(name, "") for name in ("Authorization", "x-cg-demo-api-key")
            ]
            words = f"{' '.join(secrets)} {self.path} {self.headers}"[:180]
            body = json.dumps({"code": "ECHO", "error": words, "message": words}).encode()
            self.send_response(next(statuses), " ".join(secrets))
            self.send_header("Content-Length", str(len(body)))
            location = f"http://{secrets[1] or secrets[0].partition(' ')[2]}.example/{words}"
            self.send_header("Location", " ".join(location.split()))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(60)


@pytest.fixture(scope="module", autouse=True)
def _count() -> Iterator[None]:
    """Say how much was searched (with pytest -s -n0), for docs/security.md."""
    yield
    counts = f"{SEARCHED['texts']} texts, {SEARCHED['characters']} characters"
    say(f"searched for canaries: {counts}")


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
            with inside(tmp_path, **variables):
                load_settings(None)
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
    assert refused or name == "cache_secret"  # which takes any text
    for variables in refused[:: max(1, len(refused) // 10)]:
        for command, words in REFUSED.items():
            end = run(tmp_path, "__main__", command, *words, **variables)
            silent(end.shown + end.said, (command, variables))
            assert end.code == 2, (command, end)


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
    assert (end.code, name in end.said.splitlines()[-1]) == (2, True)
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


PASSWORD = "@:/?#%".join(HALVES)
"""What has every character that must be escaped in a URL."""

LOGIN = f"mms:{quote(PASSWORD, safe='')}"
KEY = f"mms_{''.join(HALVES)}{'Q7w' * 8}Z"
"""An API key of the usual length."""

TARGETS = (
    *[("GET", "/health"), ("GET", "/pairs"), ("GET", "/BRLBTC/mms?range=20"), ("GET", "/nowhere")],
    *[("GET", "/BRLBTC/mms?range=21"), ("GET", "/BTC/x?api_key=1"), ("GET", "/docs"), ("GET", "/")],
    *[("GET", "/openapi.json"), ("GET", "/history/BTC?limit=0"), ("GET", "/BRLBTC/gaps")],
    *[("POST", "/collect-once/BTC"), ("POST", "/collect-once/XYZ"), ("PUT", "/BRLBTC/mms")],
)
HEADERS = (
    ("Authorization", f"Bearer {KEY}"),
    ("Authorization", f"Bearer {KEY}x"),
    ("Authorization", f"Basic {base64.b64encode(LOGIN.encode()).decode()}"),
    ("X-API-Key", KEY),
    ("Cookie", f"session={KEY}"),
)
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("json", "console")


@pytest.fixture
def service(postgres_server: Postgres, memcached: Memcached, echo: str) -> Iterator[dict[str, str]]:
    """The settings of a service that works, with a canary wherever a secret can be."""
    with postgres_server.guarded(PASSWORD) as guarded:
        url = guarded.replace("guarded@", f"guarded:{quote(PASSWORD, safe='')}@")
        yield {
            **USUAL,
            "DB_URL": url,
            "DB_READ_URL": url,
            "CACHE_URL": memcached.url,
            "CACHE_SECRET": PASSWORD,
            "MB_API_BASE_URL": f"http://{LOGIN}@{echo}/v4",
            "MB_LEGACY_API_BASE_URL": f"http://{LOGIN}@{echo}/v4",
            "COINGECKO_API_BASE_URL": f"http://{LOGIN}@{echo}/v3",
            "COINGECKO_API_KEY": "CG-" + "".join(HALVES),
            "COLLECT_MIN_SECONDS": "0",
            "API_KEYS": f"ops:read+collect:2999-12-31:{digest_of(KEY.encode()).hex()}",
            "https_proxy": f"http://{quote(PASSWORD, safe='')}:x@{NOBODY}",
        }


def asked(folder: Path, statuses: Counter[int], **variables: str) -> None:
    """Ask a started API everything, with keys and without; neither replies nor log may show any."""
    with inside(folder, **variables) as (shown, said):
        app = create_app()
        try:
            with started(app) as client:
                for (method, target), header in product(TARGETS, (None, *HEADERS)):
                    answer = client.ask(method, target, *([header] if header else []))
                    statuses[answer.status] += 1
                    silent(f"{answer.headers} {answer.body!r}", (method, target, header))
                # A secret of the client alone: the reply is its own.
                for target in (
                    "/pairs?api%5Fkey=",
                    "/x%3Ftoken=",
                    "/x?a=b&PASSWORD=",
                    f"/{KEY}?sig=",
                ):
                    client.get(target + HALVES[0][:8])
        except MmsError as error:
            silent("".join(traceback.format_exception(error)), variables)
    silent(shown.getvalue() + said.getvalue(), variables)


def test_no_command_and_no_trouble_shows_a_secret_of_a_service(
    service: dict[str, str], postgres_server: Postgres, tmp_path: Path
) -> None:
    elsewhere = f"@{NOBODY}/mms"
    with closing(psycopg.connect(foreign := postgres_server.create())) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
        connection.execute(f"INSERT INTO alembic_version VALUES ('{HALVES[0][:2]}')")
    away = service["DB_URL"].partition("@127")[0] + elsewhere
    unknown = service["DB_URL"].replace("guarded:", "guarded:x")
    troubles: dict[str, dict[str, str]] = {
        "none": {},
        "the older exchange": {"CANDLE_SOURCE": "mercado_bitcoin_legacy"},
        "the database away": {"DB_URL": away, "DB_READ_URL": away},
        "the replica away": {"DB_READ_URL": away.replace("/mms", urlsplit(service["DB_URL"]).path)},
        "a wrong password": {"DB_URL": unknown, "DB_READ_URL": unknown},
        "the cache away": {"CACHE_URL": f"memcached://{NOBODY}"},
        "another program's database": {"DB_URL": foreign, "DB_READ_URL": ""},
        "production": {"ENV": "prod", "ALLOWED_HOSTS": "127.0.0.1", "READ_ACCESS": "key"},
        "a proxy": {"COINGECKO_API_BASE_URL": f"https://{LOGIN}@prices.invalid/v3"},
    }
    codes: Counter[int] = Counter()
    statuses: Counter[int] = Counter()
    for number, (trouble, changed) in enumerate(troubles.items()):
        variables = {**service, **changed, "LOG_FORMAT": FORMATS[number % 2]}
        for words in ENDING:
            end = run(tmp_path, "__main__", *words, "--json", **variables)
            silent(end.shown + end.said, (words, trouble))
            codes[end.code] += 1
        asked(tmp_path, statuses, **variables)
    for level, style in product(LEVELS, FORMATS):
        asked(tmp_path, statuses, **{**service, "LOG_LEVEL": level, "LOG_FORMAT": style})
    for command in mms.COMMANDS:
        for word in ("--help", "--no-such-option"):
            end = run(tmp_path, "__main__", command, word, **service)
            silent(end.shown + end.said, (command, word))
    silent(gzip.decompress((tmp_path / "one.mmsb").read_bytes()).decode(), "the backup")
    postgres_server.drop(foreign)
    # Otherwise it would be about a service that does nothing.
    assert {0, 1, 2} <= set(codes)
    assert {200, 400, 401, 404, 405, 503} <= set(statuses), statuses


def parts(root: object) -> Iterator[object]:
    """Every object of ours and every engine that an object leads to, itself included."""
    waiting, seen = [root], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, list | tuple | set | frozenset):
            waiting.extend(each)
        elif isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, Engine):
            yield from (each, each.url, each.pool)
        elif type(each).__module__.startswith("app."):
            yield each
            slots = [name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())]
            waiting.extend(getattr(each, name) for name in slots if hasattr(each, name))
            waiting.extend(getattr(each, "__dict__", {}).values())


def test_no_repr_of_a_running_service_shows_a_secret(
    service: dict[str, str], tmp_path: Path
) -> None:
    with inside(tmp_path, **service):
        settings = load_settings(None)
        runtime = for_api(settings)
        try:
            with open_price_source(settings) as source:
                job = Job(settings, for_api, 5, 0.0)
                way = network_to("https://prices.invalid")  # through the proxy
                found = [*parts((runtime, job, source, way))]
        finally:
            runtime.close()
    kinds = {type(each).__name__ for each in found}
    for kind in ("Runtime", "Settings", "Job", "Engine", "MemcachedRing", "UpstreamHttp", "Proxy"):
        assert kind in kinds, kinds
    for each in found:
        silent(f"{each!r} {each}", type(each))
    silent(str(settings.model_dump()), "dumped")
    values: dict[str, Any] = dict.fromkeys(HIDDEN, f"x{PASSWORD}")
    with pytest.raises(ValidationError) as caught:
        Settings(**values)
    silent(f"{caught.value!r} {caught.value}", "pydantic's error")
