"""What passes as the head of a request."""

from __future__ import annotations

import pytest

from app.protocol.heads import Header, Refused, judge
from app.protocol.limits import Limits
from tests.support.api import settings

LIMITS = Limits.of(settings())
HOST = (b"host", b"api.example.com:8000")


def refusal(
    *headers: Header, method: bytes = b"GET", target: bytes = b"/", version: str = "1.1"
) -> tuple[int, str]:
    """The status and the detail with which this head is refused."""
    with pytest.raises(Refused) as refused:
        judge(method, target, version, list(headers), LIMITS)
    return refused.value.answer.status, refused.value.detail


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "api.example.com",
        "10.0.0.7:8000",
        "[::1]",
        "[fd00::7]:80",
        "mms_api",
        "a%20b",
        "a:",
    ],
)
def test_every_host_of_the_rfc_passes(host: str) -> None:
    assert judge(b"GET", b"/pairs", "1.1", [(b"host", host.encode())], LIMITS) == (b"/pairs", False)


@pytest.mark.parametrize(
    "host", ["", "a b", "user@host", "a/b", "a,b", "[::1", "a:80:80", "a:x", "ä"]
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    status, detail = refusal((b"host", host.encode()))
    assert status == 400
    assert "the header Host is no host" in detail


def test_http_1_1_needs_one_host_and_http_1_0_none() -> None:
    assert refusal() == (400, "The request cannot be read: the header Host is missing.")
    assert judge(b"GET", b"/", "1.0", [], LIMITS) == (b"/", False)
    for version in ("1.0", "1.1"):
        assert "Host more than once" in refusal(HOST, HOST, version=version)[1]


@pytest.mark.parametrize("version", ["0.9", "2.0"])
def test_no_other_version_is_spoken(version: str) -> None:
    assert f"HTTP/{version} is not spoken here" in refusal(HOST, version=version)[1]


def test_the_host_of_an_absolute_target_takes_the_place_of_the_header() -> None:
    headers = [(b"host", b"other"), (b"accept", b"*/*")]
    target, _ = judge(b"GET", b"HTTP://api.example.com:80?x=/", "1.1", headers, LIMITS)
    assert target == b"/?x=/"
    assert headers == [(b"host", b"api.example.com:80"), (b"accept", b"*/*")]
    alone: list[Header] = []
    assert judge(b"GET", b"https://a/b", "1.0", alone, LIMITS) == (b"/b", False)
    assert alone == [(b"host", b"a")]


@pytest.mark.parametrize(
    "target", [b"ftp://a/b", b"*", b"a:80", b"http://u@a/", b"http:///b", b"/a#b"]
)
def test_other_targets_are_refused(target: bytes) -> None:
    assert refusal(HOST, target=target)[0] == 400


def test_all_of_the_server_may_be_asked_for_its_options() -> None:
    assert judge(b"OPTIONS", b"*", "1.1", [HOST], LIMITS) == (b"*", False)


def test_a_tunnel_is_not_possible() -> None:
    with pytest.raises(Refused) as refused:
        judge(b"CONNECT", b"a:80", "1.1", [HOST], LIMITS)
    assert refused.value.answer.status == 405
    assert refused.value.headers == [(b"allow", b"GET, HEAD, POST")]


def test_a_body_follows_where_the_head_says_so() -> None:
    def follows(name: bytes, value: bytes) -> bool:
        return judge(b"POST", b"/", "1.1", [HOST, (name, value)], LIMITS)[1]

    assert follows(b"transfer-encoding", b" Chunked")
    assert follows(b"content-length", b"1")
    assert not follows(b"content-length", b"0")
    assert not follows(b"accept", b"*/*")


def test_a_coding_of_which_two_readers_may_think_differently_is_refused() -> None:
    for coding in (b"gzip, chunked", b"identity", b"chunked, chunked", b"xchunked", b""):
        assert refusal(HOST, (b"transfer-encoding", coding))[0] == 400
    chunked = (b"transfer-encoding", b"chunked")
    assert "HTTP/1.0 has no Transfer-Encoding" in refusal(HOST, chunked, version="1.0")[1]
    assert "Transfer-Encoding more than once" in refusal(HOST, chunked, chunked)[1]
    length = (b"content-length", b"1")
    assert "Content-Length more than once" in refusal(HOST, length, length)[1]


def test_a_body_an_address_and_a_number_of_headers_beyond_the_limit_are_refused() -> None:
    assert refusal(HOST, (b"content-length", b"16385"))[0] == 413
    assert refusal(HOST, *[(b"a", b"b")] * 100) == (
        431,
        "The request has 101 headers; at most 100 are read.",
    )
    assert judge(b"GET", b"/", "1.1", [HOST, *[(b"a", b"b")] * 99], LIMITS) == (b"/", False)
    longest = b"/" + b"a" * 65_534
    assert judge(b"GET", longest, "1.1", [HOST], LIMITS) == (longest, False)
    assert refusal(HOST, target=longest + b"a")[0] == 431
