"""Requests that no HTTP library sends: each gets one answer, the right one, and nothing more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.raw import exchanges, problems, replies
from tests.support.raw_cases import CASES, SETTINGS
from tests.support.served import Served, api

PATIENCE = 15.0
SUBJECTS = list(dict.fromkeys(case.subject for case in CASES))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all of them; its log has no error at the end."""
    with api(tmp_path_factory.mktemp("raw"), "api", **SETTINGS) as running:
        yield running
        assert [line for line in running.log() if line["level"] in ("error", "critical")] == []


@pytest.mark.parametrize("subject", SUBJECTS)
def test_each_raw_request_gets_what_is_expected_of_it(served: Served, subject: str) -> None:
    cases = [case for case in CASES if case.subject == subject]
    wrong = {
        case.name: problems(case, outcome)
        for case, outcome in exchanges(served.port, cases, PATIENCE)
        if problems(case, outcome)
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("received", "statuses", "rest"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", [200], b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}x", [200], b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", [], None),
        (b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\na: c\r\n\r\n", [], None),
        (b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n", [], None),
        (b"HTTP/1.1 200 OK\r\n\r\n", [], None),
        (b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", [304, 204], b""),
    ],
)
def test_a_reply_is_read_strictly(received: bytes, statuses: list[int], rest: bytes | None) -> None:
    outcome = replies(received)
    assert [reply.status for reply in outcome.replies] == statuses
    assert outcome.rest == (received if rest is None else rest)


def test_no_name_is_twice_in_the_table() -> None:
    names = [(case.subject, case.name) for case in CASES]
    assert len(set(names)) == len(names) >= 300
