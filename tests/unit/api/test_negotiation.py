"""Which format a client's Accept gets."""

from __future__ import annotations

import pytest

from app.api.negotiation import JSON_ALONE, accepted
from app.domain.tables import Format

JSON, CSV, NDJSON, COLUMNS = Format.JSON, Format.CSV, Format.NDJSON, Format.COLUMNS

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "choice"),
    [
        (None, JSON),
        (b"", JSON),
        (b"*/*", JSON),
        (b"application/*", JSON),
        (b"application/json", JSON),
        (b"Application/JSON; charset=utf-8", JSON),
        (BROWSER, JSON),
        (b"text/csv", CSV),
        (b"text/*", CSV),
        (b"text/csv, */*;q=0.1", CSV),
        (b"text/csv;q=0.5, application/json;q=0.4", CSV),
        (b"text/csv ; header=present ; q=1", CSV),
        (b"application/json;q=0, */*", CSV),
        (b"application/x-ndjson", NDJSON),
        (b"application/vnd.mms.columns+json", COLUMNS),
        (b"text/csv, application/json", JSON),
        (b"text/html, text/csv" + b" " * 300, CSV),
        (b"text/html", None),
        (b"*/*;q=0", None),
        (b"application/json;q=0", None),
        (b"application/json;q=2", None),
        (b"application/json;q=much", None),
        (b"json", None),
        (b",;q=1, \xff", None),
    ],
)
def test_the_preferred_format_is_chosen_and_none_where_none_is_accepted(
    accept: bytes | None, choice: Format | None
) -> None:
    assert accepted(accept) is choice


def test_a_reply_that_is_always_json_goes_to_whoever_accepts_json() -> None:
    accepts = [b"text/csv", b"text/csv, */*;q=0.1", BROWSER, b"text/csv, application/*"]
    assert [accepted(each, JSON_ALONE) for each in accepts] == [None, JSON, JSON, JSON]
