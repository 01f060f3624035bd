"""The query string, read strictly."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.query import LONGEST, Parameter, Query
from app.core.errors import (
    InvalidParameter,
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
        (b"range=", {"range": ""}),
        (b"range", {"range": ""}),
        (b"range=a%3Db=c", {"range": "a=b=c"}),
        (b"%72ange=%32%30", {"range": "20"}),
        (b"range=a+b%2B", {"range": "a b+"}),
        (b"range=%zz", {"range": "%zz"}),
        (b"range=%C3%A9%00", {"range": "é\0"}),
    ],
)
def test_values_are_named_by_their_parameter(raw: bytes, values: dict[str, str]) -> None:
    assert QUERY.read(raw) == values


@pytest.mark.parametrize("raw", [b"range=1&range=1", b"range=1&range=2", b"%72ange=1&range=2"])
def test_a_parameter_may_be_given_once(raw: bytes) -> None:
    with pytest.raises(RepeatedParameter, match="range is given more than once"):
        QUERY.read(raw)


@pytest.mark.parametrize("raw", [b"from=1&from_ts=1", b"from_ts=1&range=20&from=1"])
def test_two_spellings_of_one_parameter_are_a_repetition(raw: bytes) -> None:
    with pytest.raises(RepeatedParameter, match=r"from(_ts)? and from(_ts)? mean the same"):
        QUERY.read(raw)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"rnage=20", "'rnage' is no parameter of this request (range is): "),
        (b"Range=20", "'Range' is no parameter of this request (range is): "),
        (b"fromts=20", "'fromts' is no parameter of this request (from_ts is): "),
        (b"x=1", "'x' is no parameter of this request: use from, from_ts, range."),
        (b"=1", "'' is no parameter"),
        (b"range%00=1", r"'range\x00' is no parameter"),
    ],
)
def test_an_unknown_parameter_is_refused_with_the_known_ones(raw: bytes, said: str) -> None:
    with pytest.raises(UnknownParameter) as refused:
        QUERY.read(raw)
    assert str(refused.value).startswith(said)
    assert "use from, from_ts, range." in str(refused.value)


def test_a_request_without_parameters_says_so() -> None:
    with pytest.raises(UnknownParameter, match="it takes none"):
        Query().read(b"range=20")
    assert Query().read(b"") == {}


def test_what_is_required_is_missed_by_name() -> None:
    with pytest.raises(InvalidParameter, match=r"range is required\. 20 or 50\."):
        QUERY.read(b"from=0")


@pytest.mark.parametrize("raw", [b"range=%FF", b"%FF=1", b"range=\xff", b"range=%ED%A0%80"])
def test_bytes_that_are_not_utf_8_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidParameter, match="not valid UTF-8"):
        QUERY.read(raw)


def test_a_query_is_read_up_to_its_limit_and_not_beyond() -> None:
    value = "9" * (LONGEST - len("range="))
    assert QUERY.read(f"range={value}".encode()) == {"range": value}
    with pytest.raises(InvalidParameter, match="2,049 bytes long; at most 2,048"):
        QUERY.read(f"range={value}9".encode())


@given(st.text().filter(lambda text: text.isprintable()), st.text(max_size=50))
def test_what_a_client_encodes_is_what_is_read(first: str, second: str) -> None:
    raw = urlencode({"from": first[:50], "range": second}).encode()
    assert QUERY.read(raw) == {"from": first[:50], "range": second}
