"""What every kind of reply means to who asked."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import (
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.sources.replies import (
    RawReply,
    Reply,
    judge,
    read_common_error,
)
from tests.unit.sources.upstream_fakes import HOST, NOW, NOW_HEADER

PAGE = b"<!DOCTYPE html><title>Sorry, you have been blocked</title>"
HTML = {"content-type": "text/html; charset=UTF-8"}
JSON = {"content-type": "application/json"}


def ask(raw: RawReply) -> Reply:
    return judge(raw, HOST, read_common_error, float(NOW))


def said(data: object, status: int = 200) -> RawReply:
    return RawReply(status, JSON, json.dumps(data).encode())


@pytest.mark.parametrize("data", [[], {}, 0, None, {"t": []}, {"code": None}, {"error": None}])
def test_json_with_a_good_status_is_an_answer_whatever_its_label(data: object) -> None:
    for status, label in ((200, JSON), (203, HTML), (200, {})):
        raw = RawReply(status, {**label, "date": NOW_HEADER}, json.dumps(data).encode())
        assert ask(raw) == Reply(data, NOW)


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 9998 00:00:00 GMT"]
)
def test_a_date_that_cannot_be_the_present_is_no_clock(date: str) -> None:
    assert ask(RawReply(200, {"date": date}, b"[]")).server_time is None
    assert ask(RawReply(200, {}, b"[]")).server_time is None


@pytest.mark.parametrize(
    ("headers", "server_time", "age"),
    [
        ({"age": "30"}, NOW, 30),
        ({"age": "007, 30, 8"}, NOW, 30),
        ({"age": "-30, 30.5, soon, , 99999999999"}, NOW, 0),
        ({"age": str(NOW)}, NOW, 0),
        ({"date": "Sat, 30 Mar 2024 20:10:47 GMT, " + NOW_HEADER}, NOW, 0),
        ({"date": f"yesterday, {NOW_HEADER}, Saturday, 30-Mar-24 20:10:18 GMT"}, NOW, 0),
        ({"date": "Sat Mar 30 20:10:17 2024, Sat Mar 30 20:10:18 2024"}, NOW, 0),
        ({"date": "", "age": "30"}, None, 30),
    ],
)
def test_the_age_of_a_body_is_the_most_that_is_said_and_its_date_the_oldest(
    headers: dict[str, str], server_time: int | None, age: int
) -> None:
    reply = ask(RawReply(200, {"date": NOW_HEADER, **headers}, b"[]"))
    assert (reply.server_time, reply.age) == (server_time, age)


MEANINGS: list[tuple[RawReply, type[UpstreamError], str]] = [
    # statuses
    (RawReply(429, HTML, PAGE), UpstreamUnavailable, "429"),
    (RawReply(429, {}, b"Throttled"), UpstreamUnavailable, "Throttled"),
    (RawReply(200, JSON, b'{"code":500,"message":"oops"}'), UpstreamUnavailable, "(500 oops)"),
    (RawReply(502, HTML, b"<html>Bad Gateway"), UpstreamUnavailable, "502"),
    (RawReply(503, {}, None, problem="cut", cut=True), UpstreamUnavailable, "503"),
    (RawReply(403, HTML, PAGE), UpstreamBlocked, "403, a page of HTML"),
    (RawReply(403, {}, None, problem="cut", cut=True), UpstreamBlocked, "403"),
    (RawReply(401, {}, b"You need to be authenticated"), UpstreamRejected, "be authenticated"),
    (RawReply(404, JSON, b'{"cut":'), UpstreamRejected, "404"),
    # pages where JSON should be
    (RawReply(200, HTML, PAGE), UpstreamBlocked, "200, a page of HTML"),
    (RawReply(200, {}, b"\xef\xbb\xbf \r\n<html>"), UpstreamBlocked, "HTML"),
    (RawReply(200, JSON, PAGE), UpstreamBlocked, "200, a page of HTML"),
    (RawReply(200, HTML, b"You have been blocked"), UpstreamBlocked, "200, a page of HTML"),
    # JSON that is labelled as a page means what it says
    (RawReply(403, HTML, b'{"t":[]}'), UpstreamBlocked, "(403)"),
    (RawReply(404, HTML, b'{"message":"no such pair"}'), UpstreamRejected, "404"),
    (RawReply(200, HTML, b'{"code":"A|B","message":"no"}'), UpstreamRejected, "A|B: no"),
    (RawReply(200, HTML, b'{"t":1,"t":1}'), UpstreamNonsense, "twice"),
    (RawReply(200, HTML, b'{"t":[1', delimited=False), UpstreamUnavailable, "broke off"),
    # redirects
    (
        RawReply(302, {**HTML, "location": "https://login.example/?t=secret"}, PAGE),
        UpstreamNonsense,
        "to login.example",
    ),
    (RawReply(307, {"location": "http://[bad"}, b""), UpstreamNonsense, "elsewhere"),
    # what the body says, whatever the status
    (said({"code": "A|B|C", "message": "no such thing"}), UpstreamRejected, "A|B|C: no such thing"),
    (said({"status": 503, "message": "maintenance"}), UpstreamUnavailable, "maintenance"),
    (said({"status": 403, "error": "Forbidden"}), UpstreamBlocked, "Forbidden"),
    (said({"status": 503, "error": "wrong"}, 400), UpstreamRejected, "400 wrong"),
    # unreadable
    (RawReply(200, JSON, b"OK"), UpstreamNonsense, "not JSON"),
    (RawReply(200, JSON, b""), UpstreamNonsense, "not JSON"),
    (RawReply(200, JSON, None, problem="its body is longer"), UpstreamNonsense, "longer"),
    # cut
    (
        RawReply(200, JSON, None, problem="peer closed", cut=True),
        UpstreamUnavailable,
        "peer closed",
    ),
    (RawReply(200, JSON, b'{"t":[1'), UpstreamNonsense, "not JSON"),
    (RawReply(200, JSON, b'{"t":[1', delimited=False), UpstreamUnavailable, "broke off"),
]


@pytest.mark.parametrize(("raw", "kind", "names"), MEANINGS)
def test_each_bad_reply_has_one_meaning_and_a_sentence_that_names_host_and_cause(
    raw: RawReply, kind: type[UpstreamError], names: str
) -> None:
    with pytest.raises(UpstreamError) as caught:
        ask(raw)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert caught.value.host == HOST
    assert HOST in message
    assert names in message
    assert message.endswith(".")
    assert "secret" not in message


def test_retry_after_is_measured_from_the_hosts_own_clock_and_from_ours_without_it() -> None:
    later = {"retry-after": "Sat, 30 Mar 2024 20:10:47 GMT"}
    with pytest.raises(UpstreamUnavailable, match="in 30 s") as caught:
        judge(RawReply(429, later, b""), HOST, read_common_error, float(NOW))
    assert caught.value.retry_after == 30
    with pytest.raises(UpstreamUnavailable) as caught:
        judge(RawReply(429, later | {"date": NOW_HEADER}, b""), HOST, read_common_error, NOW - 9e6)
    assert caught.value.retry_after == 30
    with pytest.raises(UpstreamUnavailable, match="later") as caught:
        judge(RawReply(429, {"retry-after": "-5"}, b""), HOST, read_common_error, float(NOW))
    assert caught.value.retry_after is None


def test_words_from_outside_reach_a_terminal_bounded_and_without_control_codes() -> None:
    evil = {"code": "X\x1b[2J\r\nfake log line\ud800", "message": "m" * 100_000}
    with pytest.raises(UpstreamRejected) as caught:
        ask(said(evil, 400))
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 700
    assert "X [2J fake log line" in message


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-1_000, 1_000) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "message", "error", "status", "t"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(data=json_like, status=st.integers(100, 599))
def test_no_body_whatever_its_shape_breaks_the_judgement(data: object, status: int) -> None:
    try:
        reply = ask(said(data, status))
    except UpstreamError:
        return
    assert reply.data == data
    assert 200 <= status < 300
