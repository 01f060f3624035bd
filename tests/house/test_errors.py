"""Every error that we raise on purpose has its answer, and every answer is the contract's."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from app.api.errors import ANSWERS, FORBIDDEN, FROM_THE_EDGE, NOT_FOUND, UNAUTHORIZED
from app.core import errors

# What docs and clients may rely on; `code` is in every error reply.
CONTRACT = {
    "unsupported-pair": 400,
    "unsupported-range": 400,
    "unsupported-interval": 400,
    "reversed-period": 400,
    "invalid-parameter": 422,
    "unknown-parameter": 422,
    "repeated-parameter": 422,
    "not-found": 404,
    "request-timeout": 408,
    "too-large": 413,
    "misdirected": 421,
    "rate-limited": 429,
    "header-too-large": 431,
    "overloaded": 503,
    "upstream-unavailable": 503,
    "database-unavailable": 503,
}

WITHOUT_AN_ERROR = (NOT_FOUND, UNAUTHORIZED, FORBIDDEN, *FROM_THE_EDGE)
"""What is answered before anything can raise."""


def test_every_error_that_is_raised_has_its_answer_and_its_place_in_the_drawn_tree() -> None:
    classes = {
        item
        for _, item in inspect.getmembers(errors, inspect.isclass)
        if issubclass(item, errors.MmsError) and item.__module__ == errors.__name__
    }
    raised = {item for item in classes if not any(item in other.__bases__ for other in classes)}
    assert raised - set(ANSWERS) == set()
    drawing = errors.__doc__ or ""
    assert [item.__name__ for item in raised if item.__name__ not in drawing] == []


def test_the_codes_have_the_statuses_of_the_contract_and_no_wrong_request_is_our_fault() -> None:
    answered = {answer.code: answer.status for answer in [*ANSWERS.values(), *WITHOUT_AN_ERROR]}
    assert {code: answered.get(code) for code in CONTRACT} == CONTRACT
    wrong = [row.status for kind, row in ANSWERS.items() if issubclass(kind, errors.InvalidRequest)]
    assert wrong
    assert all(400 <= status < 500 for status in wrong)


def test_the_api_page_gives_each_code_the_status_that_it_has() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
    rows = re.findall(r"(?m)^\| ((?:`[a-z-]+`(?:, )?)+)[^|]*\| (\d{3}) \|", page)
    told = {code: int(status) for codes, status in rows for code in re.findall(r"`([^`]+)`", codes)}
    answered = {answer.code: answer.status for answer in [*ANSWERS.values(), *WITHOUT_AN_ERROR]}
    # The router's own answer to a method that the address does not know; see `_of_routing`.
    assert told == answered | {"method-not-allowed": 405}
