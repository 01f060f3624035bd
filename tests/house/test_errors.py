"""Every error that we raise on purpose has its answer, and every answer is the contract's."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from app.api.errors import ANSWERS, INTERNAL
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
    "upstream-unavailable": 503,
    "database-unavailable": 503,
}


def concrete() -> set[type[errors.MmsError]]:
    """The error classes that are raised: those that no other class refines."""
    classes = {
        item
        for _, item in inspect.getmembers(errors, inspect.isclass)
        if issubclass(item, errors.MmsError) and item.__module__ == errors.__name__
    }
    return {item for item in classes if not any(item in other.__bases__ for other in classes)}


def test_every_concrete_error_has_a_row_in_the_table() -> None:
    assert concrete() - set(ANSWERS) == set()


def test_every_code_of_the_contract_is_answered_with_its_status() -> None:
    answered = {answer.code: answer.status for answer in ANSWERS.values()}
    assert {code: answered.get(code) for code in CONTRACT} == CONTRACT


def test_a_request_that_is_wrong_never_gets_a_server_error() -> None:
    wrong = {
        kind: row.status for kind, row in ANSWERS.items() if issubclass(kind, errors.InvalidRequest)
    }
    assert wrong
    assert {kind: status for kind, status in wrong.items() if not 400 <= status < 500} == {}


def test_the_tree_drawn_on_top_of_the_errors_names_each_of_them() -> None:
    drawing = errors.__doc__ or ""
    assert [item.__name__ for item in concrete() if item.__name__ not in drawing] == []


def test_the_readme_gives_each_code_the_status_that_it_has() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    rows = re.findall(r"(?m)^\| ((?:`[a-z-]+`(?:, )?)+)[^|]*\| (\d{3}) \|", readme)
    told = {code: int(status) for codes, status in rows for code in re.findall(r"`([^`]+)`", codes)}
    answered = {answer.code: answer.status for answer in [*ANSWERS.values(), INTERNAL]}
    # The router's own answer to a method that the address does not know; see `_of_routing`.
    assert told == answered | {"method-not-allowed": 405}
