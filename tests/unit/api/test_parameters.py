"""The query string, read strictly."""

from __future__ import annotations

import pytest

from app.api.queries import LONGEST, Parameter, Query
from app.core.errors import (
    InvalidParameter,
    InvalidRequest,
    RepeatedParameter,
    UnknownParameter,
)

FROM = Parameter("from", "First moment.", {"type": "string"}, "0", other_name="from_ts")
RANGE = Parameter("range", "20 or 50.", {"type": "integer"}, "20", required=True)
QUERY = Query(FROM, RANGE)


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b"range=20", {"range": "20"}),
        (b"range=20&from=0", {"range": "20", "from": "0"}),
        (b"from_ts=0&range=20", {"from": "0", "range": "20"}),
        (b"&&range=20&", {"range": "20"}),
        (b"range", {"range": ""}),
        (b"range=a%3Db=c", {"range": "a=b=c"}),
        (b"%72ange=%32%30", {"range": "20"}),
        (b"range=a+b%2B", {"range": "a b+"}),
        (b"range=%C3%A9%00", {"range": "é\0"}),
        (b"_=1&range=20&_=1711670400&%5F", {"range": "20"}),
    ],
)
def test_values_are_named_by_their_parameter(raw: bytes, values: dict[str, str]) -> None:
    assert QUERY.read(raw) == values


@pytest.mark.parametrize(
    ("raw", "kind", "said"),
    [
        (b"range=1&range=2", RepeatedParameter, "range is given more than once"),
        (b"%72ange=1&range=1", RepeatedParameter, "range is given more than once"),
        (b"_=1&range=1&_=1&range=2", RepeatedParameter, "range is given more than once"),
        (b"from_ts=1&range=20&from=1", RepeatedParameter, "from_ts and from mean the same"),
        (b"Range=20", UnknownParameter, "'Range' is no parameter of this request (range is)"),
        (b"fromts=20", UnknownParameter, "(from_ts is): use from, from_ts, range."),
        (b"format=csv", UnknownParameter, "'format' is no parameter of this request: use"),
        (b"range%00=1", UnknownParameter, r"'range\x00' is no parameter"),
        (b"from=0", InvalidParameter, "range is required. 20 or 50."),
        (b"range=%ED%A0%80", InvalidParameter, "not valid UTF-8"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_what_can(
    raw: bytes, kind: type[InvalidRequest], said: str
) -> None:
    with pytest.raises(kind) as refused:
        QUERY.read(raw)
    assert said in str(refused.value)


def test_a_query_is_read_up_to_its_limit_and_not_beyond() -> None:
    value = "9" * (LONGEST - len("range="))
    assert QUERY.read(f"range={value}".encode()) == {"range": value}
    with pytest.raises(InvalidParameter, match="2,049 bytes long; at most 2,048"):
        QUERY.read(f"range={value}9".encode())
