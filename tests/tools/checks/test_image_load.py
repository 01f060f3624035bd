"""The readers of the load test count what they get, also where it goes wrong."""

from __future__ import annotations

from checks.image.load import Readers
from tests.support.answering import answering
from tests.support.patience import until

REPLIES = {
    "/good": (200, {"X-Kind": "good"}, b"ok"),
    "/bad": (500, {"X-Kind": "bad"}, b"ok"),
    "/busy": (503, {}, b'{"code":"overloaded"}'),
    "/away": (503, {}, b'{"code":"database-unavailable"}'),
    "/cut": (200, {"Content-Length": "9"}, b"ok"),
}


def test_good_replies_are_told_from_other_statuses_and_from_cut_replies() -> None:
    asked: list[str] = []

    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        asked.append(path)
        return REPLIES[path]

    with answering(answer) as port:
        readers = Readers(port, list(REPLIES), 1)
        readers.begin()
        until(lambda: len(asked) >= 30)
        tally = readers.end()
    counts = {path: asked.count(path) for path in REPLIES}
    unavailable = counts["/busy"] + counts["/away"]
    assert tally.statuses == {200: counts["/good"], 500: counts["/bad"], 503: unavailable}
    assert tally.errors == {"IncompleteRead": counts["/cut"]}
    assert tally.failed == tally.asked - counts["/good"] - counts["/busy"]
