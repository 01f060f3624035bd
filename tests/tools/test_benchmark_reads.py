"""The benchmark of reads reads its tools' output, and judges, as it says."""

from __future__ import annotations

import re

import pytest

from benchmarks.reads.data import queries
from benchmarks.reads.load import Pace, Wrong, failures, waits
from benchmarks.reads.results import Case, Goal, Reading, Row, judged, table
from benchmarks.reads.servers import Reply
from benchmarks.reads.traffic import reading, wire_length
from benchmarks.topology.load import read

NEWEST = 1_711_670_400

SUMMARY = """\
requests: 400 total, 408 started, 400 done, 400 succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 390 2xx, 10 3xx, 0 4xx, {wrong} 5xx
"""


def test_the_last_line_of_wrk_is_what_it_counted() -> None:
    line = '{"requests":9,"failed":0,"seconds":2.0,"p50_ms":0.5,"p99_ms":1.5,"bytes":900}'
    assert read(f"Running 2s test\n  9 requests\n\n{line}\n").bytes == 900
    with pytest.raises(ValueError, match="Expecting value"):
        read("unable to connect")


def test_h2load_counts_what_failed_and_what_was_answered_with_an_error() -> None:
    assert failures(SUMMARY.format(failed=0, wrong=0)) == 0
    assert failures(SUMMARY.format(failed=3, wrong=0)) == 3
    assert failures(SUMMARY.format(failed=0, wrong=2)) == 2
    with pytest.raises(Wrong, match="nothing that can be read"):
        failures("could not connect")


def test_a_wait_begins_when_the_request_was_due_and_not_when_it_was_sent() -> None:
    pace = Pace(rate=20, group=2, groups=1)  # two at a time, each 100 ms
    sent = [(0, 9_000), (5, 9_000), (100_000, 4_000), (100_000, 150_000), (250_000, 7_000)]
    log = "".join(f"{start}\t200\t{lasted}\n" for start, lasted in sent)
    # The fourth holds back the sixth, which never gets a reply; the fifth was due at 200 ms.
    assert waits(log, pace, 0.3) == [4.0, 150.0, 57.0, 100.0]


def test_a_wait_for_a_wrong_status_is_none() -> None:
    with pytest.raises(Wrong, match="status 503"):
        waits("0\t200\t10\n1\t503\t10\n", Pace(1, 1, 1), 2.0)


def rounds(*costs: float, share: float = 0.5) -> list[Reading]:
    return [Reading(cost, 100.0, share) for cost in costs]


@pytest.mark.parametrize(
    ("goal", "ours", "other", "ratio", "held"),
    [
        (Goal(0.5), rounds(20, 40, 20), rounds(10, 20, 12), 0.5, True),
        (Goal(0.5), rounds(20, 40, 30), rounds(9, 19, 15), 0.475, False),
        (Goal(2, at_most=True), rounds(2, 4, 9), rounds(1, 2, 3), 2.0, True),
        (Goal(2, at_most=True), rounds(5, 5, 5), rounds(1, 1, 1), 5.0, False),
        (Goal(2, at_most=True, or_below=25), rounds(24, 24, 24), rounds(1, 1, 1), 24.0, True),
        (Goal(2, at_most=True, other_below=25), rounds(30), rounds(26), 30 / 26, False),
        (Goal(0.9, least_share=0.3), rounds(1, share=0.2), rounds(1), 1.0, False),
        (Goal(0.9, least_share=0.3), rounds(1, share=0.4), rounds(1), 1.0, True),
        (None, rounds(2), rounds(1), 0.5, None),
    ],
)
def test_the_median_of_the_rounds_ratios_is_judged(
    goal: Goal | None, ours: list[Reading], other: list[Reading], ratio: float, held: bool | None
) -> None:
    verdict = judged(Row("r", "ours", "other", goal), {"ours": ours, "other": other})
    assert (verdict.ratio, verdict.held) == (ratio, held)


def test_a_cost_without_another_is_judged_itself() -> None:
    row = Row("memory", "idle", None, Goal(80, at_most=True))
    assert judged(row, {"idle": rounds(79, 80, 90)}).held is True
    assert judged(row, {"idle": rounds(79, 81, 90)}).held is False


def test_what_is_absent_has_missed_its_goal() -> None:
    assert judged(Row("gzip", "gzip", "bare", Goal(0.85), absent="absent"), {}).held is False


def test_the_table_shows_ratio_goal_and_verdict_and_what_each_cost() -> None:
    readings = {"ours": rounds(20, 25, 40), "bare": rounds(10, 10, 10)}
    cases = {name: Case(name, "µs", lambda _number: Reading(0.0)) for name in readings}
    text = table([judged(Row("hot", "ours", "bare", Goal(0.5)), readings)], cases, readings)
    assert "| hot | bare | 0.400 (0.250 to 0.500) | ≥ 0.5 | NO |" in text
    assert "| ours | 25.0 µs | 20.0 to 40.0 | 100 | 100 to 100 |" in text


def test_no_two_requests_are_alike_and_each_selects_a_year() -> None:
    some = queries(NEWEST, 5_000, 3_000)
    assert len({query.path for query in some}) == 3_000
    assert {(query.last - query.first) // 86_400 for query in some} == {364}
    assert {query.last <= NEWEST + 86_399 for query in some} == {True}
    assert {bool(re.search("from=[0-9]+&", query.path)) for query in some} == {True, False}


def test_the_cpu_of_all_processes_counts_and_the_second_one_s_share_of_it() -> None:
    taken = reading({1: 0.0, 2: 1.0}, {1: 0.1, 2: 1.6, 3: 0.3}, 1_000, 2.0)
    assert (round(taken.cost), taken.rate, round(taken.share, 3)) == (1_000, 500.0, 0.3)


def test_the_length_of_a_reply_is_that_on_the_wire() -> None:
    sent = b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n\r\n[]"
    reply = Reply(200, (("date", "now"), ("content-length", "2"), ("connection", "close")), b"[]")
    assert wire_length(reply) == len(sent)
