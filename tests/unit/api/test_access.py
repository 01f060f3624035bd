"""Who may do what: keys, pages of other origins, and the headers that go with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api.access import LARGEST, LOOK_EVERY, Access, Keys
from app.api.clients import Client as Peer
from app.core.api_keys import read_keys
from app.core.market import DAY
from app.db.cache.averages import CachedAverageStore, block_memory
from app.testing.series import MemorySeriesStore
from tests.support.api import NOW, Answer, Client, FakePrices, FakeRuntime, load, serving, settings

READ = "/BRLBTC/mms?range=20"
COLLECT = "/collect-once/BTC"
TODAY = datetime.fromtimestamp(NOW, UTC).date()
ELSEWHERE = "https://elsewhere.example"


def entry(text: str, scopes: str, last: date = TODAY, name: str = "ops") -> str:
    """The entry of a key in API_KEYS."""
    return f"{name}:{scopes}:{last.isoformat()}:{sha256(text.encode()).hexdigest()}"


def bearer(text: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {text}")


def runtime() -> FakeRuntime:
    """Averages in memory, and a price of BTC."""
    store = MemorySeriesStore()
    load(store)
    cached = CachedAverageStore(store, block_memory(10**9), monotonic=lambda: 50.0)
    return FakeRuntime(store, averages=cached, warm=cached, price_source=FakePrices({"BTC": 10**8}))


@pytest.fixture(scope="module")
def keyed() -> Iterator[Client]:
    """An API whose reads need a key, too."""
    keys = [
        entry("reader", "read", name="page"),
        entry("both", "read+collect"),
        entry("collector", "collect"),
        entry("yesterday", "read+collect", TODAY - timedelta(days=1), "old"),
    ]
    with serving(runtime(), api_keys=",".join(keys), read_access="key") as api:
        yield api


def code(answer: Answer) -> tuple[int, Any]:
    return answer.status, answer.json()["code"] if answer.status >= 400 else None


@pytest.mark.parametrize(
    ("text", "read", "collect"),
    [
        ("both", (200, None), (200, None)),
        ("reader", (200, None), (403, "forbidden")),
        ("collector", (403, "forbidden"), (200, None)),
        ("yesterday", (401, "unauthorized"), (401, "unauthorized")),
        ("nobody", (401, "unauthorized"), (401, "unauthorized")),
    ],
)
def test_a_key_allows_its_scopes_until_the_end_of_its_last_day(
    keyed: Client, text: str, read: tuple[int, str], collect: tuple[int, str]
) -> None:
    assert code(keyed.get(READ, bearer(text))) == read
    assert code(keyed.get(READ, bearer(text))) == read  # from memory
    assert code(keyed.ask("POST", COLLECT, bearer(text))) == collect


def test_a_refusal_says_what_is_missing_and_never_repeats_the_key(keyed: Client) -> None:
    nothing = keyed.get(READ)
    assert nothing.header("www-authenticate") == 'Bearer realm="mms-api"'
    assert "scope read" in nothing.json()["detail"]
    assert "Ask the operator" in nothing.json()["detail"]
    unknown = keyed.get(READ, bearer("quite-secret"))
    assert unknown.header("www-authenticate") == 'Bearer realm="mms-api", error="invalid_token"'
    assert b"quite-secret" not in unknown.body
    old = keyed.get(READ, bearer("yesterday"))
    assert (TODAY - timedelta(days=1)).isoformat() in old.json()["detail"]
    narrow = keyed.ask("POST", COLLECT, bearer("reader"))
    assert narrow.header("www-authenticate") == (
        'Bearer realm="mms-api", error="insufficient_scope", scope="collect"'
    )


@pytest.mark.parametrize(
    "sent",
    [
        [("Authorization", "both")],
        [("Authorization", "Basic both")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer both both")],
        [("Authorization", "Bearer " + "x" * 600)],
        [bearer("both"), bearer("both")],
        [("X-API-Key", "both")],
        [("Cookie", "key=both")],
    ],
)
def test_a_key_counts_only_once_and_as_a_bearer(keyed: Client, sent: list[tuple[str, str]]) -> None:
    assert code(keyed.get(READ, *sent)) == (401, "unauthorized")


def test_a_key_in_the_query_opens_nothing(keyed: Client) -> None:
    assert code(keyed.get(f"{READ}&api_key=both")) == (401, "unauthorized")


def test_the_scheme_may_have_any_case(keyed: Client) -> None:
    assert keyed.get(READ, ("Authorization", "bearer  both ")).status == 200


def test_health_checks_and_the_documentation_need_no_key(keyed: Client) -> None:
    for path in ("/health", "/healthz", "/readyz", "/docs", "/docs/start.js", "/openapi.json"):
        assert keyed.get(path).status == 200, path


def test_no_cache_may_give_a_keyed_read_to_another(keyed: Client) -> None:
    got = [
        keyed.get(path, bearer("both")) for path in (READ, "/BRLBTC/gaps", "/pairs", "/anomaly/BTC")
    ]
    assert [each.header("vary") for each in got] == ["Accept, Accept-Encoding, Authorization"] * 4
    assert [each.header("cache-control") for each in got] == [
        *["private, no-cache"] * 3,
        "no-store",
    ]


def test_the_id_of_the_key_is_in_the_log_and_nothing_else_of_it(keyed: Client) -> None:
    with capture_logs() as lines:
        keyed.get(READ, bearer("reader"))
        keyed.ask("POST", COLLECT, bearer("reader"))
        keyed.get(READ, bearer("nobody"))
        keyed.get(READ)
    requests = [line for line in lines if line["event"] == "http_request"]
    assert [line.get("key") for line in requests] == ["page", "page", None, None]
    assert "reader" not in str(lines)
    assert "nobody" not in str(lines)
    assert not [line for line in lines if line["log_level"] == "error"]


def test_every_request_that_is_no_read_is_refused_without_a_key() -> None:
    keys = entry("both", "read+collect")
    with serving(runtime(), api_keys=keys) as api:
        document = api.get("/openapi.json").json()
        others = [
            (method.upper(), path)
            for path, operations in document["paths"].items()
            for method in operations
            if method != "get"
        ]
        assert others == [("POST", "/collect-once/{symbol}")]
        for method, path in others:
            target = path.format(symbol="BTC", pair="BRLBTC")
            assert code(api.ask(method, target)) == (401, "unauthorized")
            assert document["paths"][path][method.lower()]["security"] == [{"key": []}]
        # So is what has no route yet.
        for method in ("POST", "PUT", "PATCH", "DELETE", "MKCOL"):
            assert code(api.ask(method, "/pairs")) == (401, "unauthorized")
            assert code(api.ask(method, "/pairs", bearer("both"))) == (405, "method-not-allowed")


@pytest.mark.parametrize(
    ("settings", "sent", "status"),
    [
        ({}, [], 200),
        ({"api_keys": entry("a", "read")}, [], 200),  # nobody has a key to collect
        ({"api_keys": entry("a", "collect")}, [], 401),
        ({"host": "0.0.0.0"}, [], 401),  # as in a container
        ({"host": "127.0.0.1,::1,localhost"}, [], 200),
        ({"trusted_proxies": "10.0.0.0/8"}, [], 401),
        ({}, [("X-Forwarded-For", "127.0.0.1")], 401),
        ({}, [("Forwarded", "for=127.0.0.1")], 401),
        ({"env": "prod", "single_node": True, "allowed_hosts": "a.example"}, [], 401),
        ({"collect_access": "off"}, [], 403),
    ],
)
def test_without_a_key_only_this_machine_in_development_may_collect(
    settings: dict[str, Any], sent: list[tuple[str, str]], status: int
) -> None:
    with serving(runtime(), **settings) as api:
        assert api.ask("POST", COLLECT, *sent).status == status


def test_switched_off_is_off_for_every_key() -> None:
    with serving(runtime(), api_keys=entry("k", "collect"), collect_access="off") as api:
        got = api.ask("POST", COLLECT, bearer("k"))
    assert code(got) == (403, "forbidden")
    assert "COLLECT_ACCESS=off" in got.json()["detail"]


# Pages of other origins.


@pytest.mark.parametrize(
    "sent",
    [
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Origin", ELSEWHERE)],
        [("Origin", "null")],
        [("Origin", "http://[")],
        [("Origin", "http://127.0.0.1:3000")],
        [("Origin", "http://127.0.0.1"), ("Sec-Fetch-Site", "cross-site")],
        [("Origin", "https://app.example.com")],  # may read
    ],
)
def test_a_page_of_another_origin_may_not_write(sent: list[tuple[str, str]]) -> None:
    keys = entry("k", "collect")
    with serving(runtime(), api_keys=keys, cors_origins="https://app.example.com") as api:
        assert code(api.ask("POST", COLLECT, bearer("k"), *sent)) == (403, "forbidden")


@pytest.mark.parametrize(
    "sent",
    [
        [("Origin", "http://127.0.0.1")],
        [("Origin", "https://127.0.0.1"), ("Host", "127.0.0.1:443")],
        [("Origin", "https://127.0.0.1"), ("Sec-Fetch-Site", "same-origin")],
        [("Sec-Fetch-Site", "none")],
    ],
)
def test_a_page_of_ours_and_a_program_may_write(sent: list[tuple[str, str]]) -> None:
    with serving(runtime()) as api:
        assert api.ask("POST", COLLECT, *sent).status == 200


def test_pages_of_named_origins_may_read_and_see_the_headers() -> None:
    with serving(runtime(), cors_origins="https://app.example.com,http://localhost:3000") as api:
        for target in (READ, READ, "/pairs", "/nowhere"):
            got = api.get(target, ("Origin", "https://app.example.com"))
            assert got.header("access-control-allow-origin") == "https://app.example.com"
            exposed = str(got.header("access-control-expose-headers")).split(", ")
            assert {"X-Data-As-Of", "X-Data-Stale", "X-Data-Missing", "ETag"} <= set(exposed)
            assert "Origin" in str(got.header("vary"))
            for other in (
                ELSEWHERE,
                "null",
                "https://app.example.com.evil",
                "https://APP.example.com",
            ):
                refused = api.get(target, ("Origin", other))
                assert refused.header("access-control-allow-origin") is None
                assert refused.header("vary") == got.header("vary")


def test_a_preflight_is_answered_for_named_origins_alone() -> None:
    asks = ("Access-Control-Request-Method", "GET")
    with serving(
        runtime(),
        cors_origins="https://app.example.com",
        api_keys=entry("k", "read"),
        read_access="key",
    ) as api:
        got = api.ask("OPTIONS", READ, ("Origin", "https://app.example.com"), asks)
        assert (got.status, got.body) == (204, b"")
        assert got.header("access-control-allow-origin") == "https://app.example.com"
        assert got.header("access-control-allow-methods") == "GET, HEAD"
        assert "Authorization" in str(got.header("access-control-allow-headers"))
        assert api.ask("OPTIONS", READ, ("Origin", ELSEWHERE), asks).status == 401
    with serving(runtime()) as api:
        assert api.ask("OPTIONS", READ, ("Origin", "https://app.example.com"), asks).status == 405


# The headers of every reply.


def test_every_reply_says_what_browsers_and_caches_may_do_with_it() -> None:
    with serving(runtime(), hsts_seconds=31_536_000) as api:
        got = {
            target: api.get(target)
            for target in (READ, "/BRLBTC/gaps", "/pairs", "/health", "/history/BTC", "/nowhere")
        }
        got |= {"wrong": api.ask("DELETE", "/pairs"), "422": api.get("/pairs?x=1")}
        got |= {"memory": api.get(READ), "304": api.get(READ, ("If-None-Match", "*"))}
    for target, each in got.items():
        assert (
            each.header("content-security-policy") == "default-src 'none'; frame-ancestors 'none'"
        )
        assert each.header("referrer-policy") == "no-referrer"
        assert each.header("cross-origin-resource-policy") == "same-origin"
        assert each.header("strict-transport-security") == "max-age=31536000"
        assert each.header("vary") == "Accept, Accept-Encoding"
        expected = "no-store" if each.header("etag") is None else "public, no-cache"
        assert each.header("cache-control") == expected, target


# Rotation.


def test_keys_of_a_file_change_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    now, later = [0.0], TODAY + timedelta(days=400)

    def write(*entries: str) -> None:
        file.write_text("\n".join(entries))
        status = file.stat()
        # The clock of a file system may be coarse.
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + int(now[0] * 10**9)))

    first, second = entry("first", "read", later, "a"), entry("second", "read", later, "b")
    write(first)
    keys = Keys(read_keys(first), file, lambda: NOW, lambda: now[0])

    def valid(*texts: bytes) -> list[bool]:
        now[0] += 1
        return [keys.of(text) is not None for text in texts]

    for _ in range(2):  # the second time it is as it was
        assert valid(b"first", b"second") == [True, False]
    write(first, second)
    assert valid(b"first", b"second") == [True, True]
    with capture_logs() as lines:
        write(second)
        assert valid(b"first", b"second") == [False, True]
        write("mms_quite-secret")
        assert valid(b"first", b"second") == [False, True]
        file.unlink()
        assert valid(b"first", b"second") == [False, True]
        write(first)
        assert valid(b"first", b"second") == [True, False]
        write()
        assert valid(b"first", b"second") == [True, False]  # somebody may be just writing it
        assert valid(b"first", b"second") == [False, False]
    assert [line["event"] for line in lines] == [
        "api_keys_read",
        *["api_keys_unusable"] * 2,
        "api_keys_read",
        "api_keys_read",
    ]
    assert "quite-secret" not in str(lines)


@pytest.mark.parametrize(
    "replace",
    [
        os.mkfifo,
        os.mkdir,
        lambda file: file.symlink_to("/dev/zero"),
        lambda file: file.write_text("\n" * (LARGEST + 1)),
    ],
    ids=["pipe", "folder", "endless", "large"],
)
def test_no_file_in_the_place_of_that_of_keys_stops_the_service(
    tmp_path: Path, replace: Callable[[Path], object]
) -> None:
    file = tmp_path / "keys"
    replace(file)
    now = iter((0.0, LOOK_EVERY))
    with capture_logs() as lines:
        keys = Keys(read_keys(entry("a", "read")), file, lambda: NOW, lambda: next(now))
        assert keys.of(b"a") is not None
    problem = next(line["problem"] for line in lines if line["event"] == "api_keys_unusable")
    assert "regular file of at most 1 MB" in problem


def test_a_key_to_collect_that_is_added_ends_collecting_without_one(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(entry("reader", "read"))
    looks = count()
    chosen = settings(api_keys=file.read_text(), api_keys_file=file)
    access = Access(chosen, lambda: NOW, lambda: next(looks))
    here = Peer("127.0.0.1", "127.0.0.1")
    assert access.judge("POST", here, []) == ("", None)
    file.write_text(entry("collector", "collect"))
    _, refusal = access.judge("POST", here, [])
    assert refusal is not None
    assert refusal.answer.status == 401


def test_a_key_that_ends_soon_is_named_at_the_start_and_each_day() -> None:
    keys = [
        entry("a", "read", TODAY - timedelta(days=1), "gone"),
        entry("b", "read", TODAY, "today"),
        entry("c", "read", TODAY + timedelta(days=31), "later"),
    ]
    now = [float(NOW)]
    with capture_logs() as lines:
        held = Keys(read_keys(",".join(keys)), None, lambda: now[0])
        held.of(b"a")
        now[0] += DAY
        held.of(b"a")
        held.of(b"a")
    assert [(line["event"], line["key"]) for line in lines] == [
        ("api_key_expired", "gone"),
        ("api_key_expires_soon", "today"),
        ("api_key_expired", "gone"),
        ("api_key_expired", "today"),
        ("api_key_expires_soon", "later"),
    ]
