"""JSON that keeps every digit and takes nothing on trust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.replies import DecimalText, JsonRefused, loads


@pytest.mark.parametrize("text", ["353446.62655678", "1e-8", "-0.0", "1E400", "0.1", "1.50"])
def test_a_number_with_a_fraction_or_an_exponent_keeps_its_characters(text: str) -> None:
    (value,) = loads(f"[{text}]".encode())
    assert isinstance(value, DecimalText)
    assert value == text


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "9" * 5_000])
def test_what_is_no_number_to_us_is_text_and_costs_the_reply_nothing_else(text: str) -> None:
    value, other = loads(f"[{text},2]".encode())
    assert isinstance(value, DecimalText)
    assert (value, other) == (text, 2)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"c":1,"d":2,"c":1}', "'c' twice"),
        (b'{"x":{"c":1,"c":2}}', "'c' twice"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
    ],
)
def test_what_python_would_let_through_is_refused_by_name(body: bytes, names: str) -> None:
    with pytest.raises(JsonRefused, match=names):
        loads(body)


@pytest.mark.parametrize(
    "body",
    [
        *[b"", b"  ", b"{}x", b"[] []", b"null,", b"[1,]", b"{'a':1}", b"<html>"],
        *[b"[01]", b"[1.]", b"[.5]", b'["a\nb"]', b'["\xff"]', b"\xff\xfe[\x00", b"\xef\xbb\xbf[]"],
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(JsonRefused):
        loads(body)


@given(st.data())
def test_a_document_cut_anywhere_is_refused_and_never_read_as_another(data: st.DataObject) -> None:
    whole = (
        '{"t":[1711670400],"c":["353446.62655678"],"x":{"é":[true,null,1.5e3,"\\u00e9"]}}'.encode()
    )
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(JsonRefused):
        loads(whole[:end])
