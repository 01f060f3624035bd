"""GET / and what the page loads: for whom, in which language, and how long it may be kept."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from app import __version__
from app.api.routes.page import LIBRARY, PAGE_POLICY, has_chart
from tests.support.api import Client, FakeRuntime, serving

FOLDER = Path(__file__).resolve().parents[3] / "app" / "api" / "page"
BROWSER = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
GZIP = ("Accept-Encoding", "gzip")


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    with serving(FakeRuntime()) as client:
        yield client


def page(api: Client, path: str = "/", *headers: tuple[str, str]) -> str:
    """The page that a browser gets."""
    reply = api.get(path, BROWSER, *headers)
    assert (reply.status, reply.header("content-type")) == (200, "text/html; charset=utf-8")
    return reply.body.decode()


def language(html: str) -> str:
    """The language that a page says it is in."""
    (lang,) = re.findall(r'<html lang="([^"]+)"', html)
    return str(lang)


def loaded(html: str) -> list[str]:
    """The files that a page loads from its folder."""
    return re.findall(r'(?:src|href)="(/page/[^"]+)"', html)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html, application/json", "application/json"),
        ("application/json;q=0.5, text/html", "text/html; charset=utf-8"),
        (BROWSER[1], "text/html; charset=utf-8"),
        ("text/*", "text/html; charset=utf-8"),
        ("text/html;q=0", "application/problem+json"),
        ("image/png", "application/problem+json"),
    ],
)
def test_browsers_get_the_page_and_others_the_addresses(
    api: Client, accept: str | None, kind: str
) -> None:
    headers = [] if accept is None else [("Accept", accept)]
    reply = api.get("/", *headers)
    assert reply.header("content-type") == kind
    assert reply.status == (406 if "problem" in kind else 200)
    head = api.ask("HEAD", "/", *headers)
    assert (head.status, head.header("content-type"), head.body) == (reply.status, kind, b"")


def test_a_client_that_takes_neither_is_told_of_both(api: Client) -> None:
    assert api.get("/", ("Accept", "image/png")).json()["detail"] == (
        "Accept names no format of this reply: use application/json, text/html or */*."
    )


def test_every_address_of_the_index_answers_whatever_is_served_first() -> None:
    chosen = {"intervals": "15m,1h", "allowed_pairs": "USDT-BRL", "allowed_symbols": "$A/B:a"}
    with serving(FakeRuntime(), **chosen) as client:
        index = client.get("/").json()
        assert (index.pop("name"), index.pop("version")) == ("MMS API", __version__)
        assert index["averages"] == "/BRLUSDT/mms?range=20&interval=15m"
        assert index["history"] == "/history/%24A%2FB"
        for name, address in index.items():
            if name != "stream":  # it would not end
                assert client.get(address).status == 200, address
        assert client.get("/?range=20").json()["code"] == "unknown-parameter"


def test_without_documentation_there_is_the_page_and_nothing_leads_there() -> None:
    with serving(FakeRuntime(), docs="off") as client:
        assert "docs" not in page(client)
        assert {"docs", "openapi"}.isdisjoint(client.get("/").json())


def test_without_a_key_there_is_the_page_but_no_data() -> None:
    key = f"ops:read:2030-01-01:{'0' * 64}"
    with serving(FakeRuntime(), read_access="key", api_keys=key, root_path="/mms") as client:
        for path in ("/", "/mms", "/mms/", *re.findall(r'"(/mms/page/[^"]+)"', page(client))):
            assert client.get(path).status == 200, path
        assert client.get("/pairs").status == 401
        # A cache that many share would give one client's reply to another.
        assert client.get("/").header("cache-control") == "private, no-cache"


@pytest.mark.parametrize(
    ("path", "accepted", "chosen"),
    [
        ("/", None, "en"),
        ("/", "pt-BR,pt;q=0.9,en-US;q=0.8", "pt-BR"),
        ("/", "pt-PT", "pt-BR"),
        ("/", "PT", "pt-BR"),
        ("/", "en;q=0.8, pt;q=0.9", "pt-BR"),
        ("/", "en-GB, pt", "en"),
        ("/", "fr, pt;q=0.5, en;q=0.4", "pt-BR"),
        ("/", "pt;q=0, en;q=0.1", "en"),
        ("/", "pt;q=nan", "en"),
        ("/", "*", "en"),
        ("/?lang=pt", "en", "pt-BR"),
        ("/?lang=pt-BR", "en", "pt-BR"),
        ("/?lang=en", "pt", "en"),
        ("/?lang=xx", "pt", "pt-BR"),
        ("/?pair=BRLETH&interval=1d&range=30d&view=table&else=%ff", "pt", "pt-BR"),
    ],
)
def test_the_page_is_in_the_language_of_its_address_or_of_the_browser(
    api: Client, path: str, accepted: str | None, chosen: str
) -> None:
    headers = [] if accepted is None else [("Accept-Language", accepted)]
    html = page(api, path, *headers)
    assert language(html) == chosen
    assert ("Sem JavaScript" in html) == (chosen == "pt-BR")


def test_the_page_shows_pictures_where_the_library_of_its_chart_is_missing(api: Client) -> None:
    html = page(api)
    expected = "library" if has_chart() else "picture"
    assert f'data-chart="{expected}"' in html
    assert any(path.endswith(LIBRARY) for path in loaded(html)) == has_chart()


def test_without_javascript_there_is_a_picture_and_links(api: Client) -> None:
    (text,) = re.findall(r"(?s)<noscript>(.*)</noscript>", page(api))
    addresses = [unescape(each) for each in re.findall(r'(?:src|href)="([^"]+)"', text)]
    assert addresses == ["/pairs", "/docs", "/BRLBTC/chart.svg?interval=1d&lang=en"]
    assert {api.get(address).status for address in addresses} == {200}


def test_a_cache_tells_the_pages_apart_and_a_browser_gets_each_once(api: Client) -> None:
    replies = [api.get("/", BROWSER, ("Accept-Language", accepted)) for accepted in ("en", "pt")]
    for reply in replies:
        assert reply.header("vary") == "Accept, Accept-Encoding, Accept-Language"
        again = api.get(
            "/", BROWSER, ("If-None-Match", reply.header("etag") or ""), ("Accept-Language", "pt")
        )
        assert again.status == (304 if reply is replies[1] else 200)
        assert again.header("vary") == reply.header("vary")
        assert again.header("content-security-policy") == PAGE_POLICY.decode()


def test_nothing_in_the_page_is_inline_or_of_another_host(api: Client) -> None:
    html = page(api)
    assert re.findall(r"\sstyle=|<style|\son\w+=|<script(?![^>]*\ssrc=)|//", html) == []
    reply = api.get("/", BROWSER)
    assert reply.header("content-security-policy") == PAGE_POLICY.decode()
    assert b"unsafe" not in PAGE_POLICY


def test_a_file_is_kept_for_ever_under_its_hash_and_revalidated_under_another(api: Client) -> None:
    paths = loaded(page(api))
    assert paths
    for path in paths:
        name = path.split("/", 3)[3]
        reply, body = api.get(path), (FOLDER / name).read_bytes()
        assert reply.body == body
        assert reply.header("cache-control") == "public, max-age=31536000, immutable"
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
        assert (reply.header("content-type") or "").startswith(kind[name.rpartition(".")[2]])
        # A deployment is under way: the page is of the other version.
        other = api.get(f"/page/0123456789abcdef/{name}")
        assert (other.status, other.body) == (200, body)
        assert other.header("cache-control") == "public, no-cache"


def test_a_file_in_gzip_is_the_same_file(api: Client) -> None:
    path = next(each for each in loaded(page(api)) if each.endswith("/main.js"))
    _, plain, body = api.raw("GET", path)
    _, packed, fewer = api.raw("GET", path, [GZIP])
    assert gzip.decompress(fewer) == body
    tag = dict(packed)[b"etag"]
    assert tag == b"W/" + dict(plain)[b"etag"]
    expected = {b"content-encoding": b"gzip", b"content-length": b"%d" % len(fewer), b"etag": tag}
    assert dict(packed) | {b"x-request-id": b""} == dict(plain) | expected | {b"x-request-id": b""}
    for encoding in ((), (GZIP,)):
        again = api.get(path, ("If-None-Match", tag.decode()), *encoding)
        assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "index.html", "none.js", "words", "words/", "/main.js", "./main.js"),
        *("../page.py", "..%2fpage.py", "%2e%2e/%2e%2e/py.typed", "words/../main.js", "main.js/"),
        *("library/LICENSE", "main.js%00", "MAIN.JS"),
    ],
)
def test_nothing_else_is_served_from_anywhere(api: Client, name: str) -> None:
    current, *_ = loaded(page(api))
    folder = "/".join(current.split("/")[:3])
    assert api.get(f"{folder}/{name}").status == 404
