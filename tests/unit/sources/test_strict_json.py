"""JSON that keeps every digit and takes nothing on trust."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.strict_json import DecimalText, JsonBroken, JsonRefused, loads

documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(documents)
def test_a_document_without_fractions_reads_as_any_json_reader_reads_it(document: object) -> None:
    assert loads(json.dumps(document).encode()) == document


@pytest.mark.parametrize("text", ["353446.62655678", "1e-8", "-0.0", "1E400", "0.1", "1.50"])
def test_a_number_with_a_fraction_or_an_exponent_keeps_its_characters(text: str) -> None:
    (value,) = loads(f"[{text}]".encode())
    assert isinstance(value, DecimalText)
    assert value == text


def test_a_whole_number_stays_a_whole_number_beyond_what_a_float_holds() -> None:
    value = loads(b'{"timestamp":1790138993451242857}')["timestamp"]
    assert type(value) is int
    assert value == 1_790_138_993_451_242_857


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"[NaN]", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"c":1,"d":2,"c":1}', "'c' twice"),
        (b'{"x":{"c":1,"c":2}}', "'c' twice"),
        (b"[" + b"9" * 101 + b"]", "101 characters"),
        (b"[" + b"9" * 5_000 + b"]", "5000 characters"),
        (b"[0." + b"1" * 100 + b"]", "102 characters"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b"[" * 65 + b"]" * 65, "nested"),
        (b'{"a":[' * 32 + b"[]" + b"]}" * 32, "nested"),
        (b"[" + b"[]," * 60_000 + b"{}," * 60_000 + b"0]", "more than 240000 brackets"),
        (b"]" * 240_001, "more than 240000 brackets"),
    ],
)
def test_what_python_would_let_through_is_refused_by_name(body: bytes, names: str) -> None:
    with pytest.raises(JsonRefused, match=names) as caught:
        loads(body)
    assert not isinstance(caught.value, JsonBroken)


@pytest.mark.parametrize("body", [b"[" * 64 + b"]" * 64, b'{"a":[' * 32 + b"]}" * 32])
def test_what_is_nested_within_reason_is_read(body: bytes) -> None:
    assert loads(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        *[b"", b"  ", b"{}x", b"[] []", b"null,", b"[1,]", b"{'a':1}", b"<html>"],
        *[b"[01]", b"[1.]", b"[.5]", b'["a\nb"]', b'["\xff"]', b"\xff\xfe[\x00", b"\xef\xbb\xbf[]"],
    ],
)
def test_what_is_no_json_is_broken(body: bytes) -> None:
    with pytest.raises(JsonBroken):
        loads(body)


@given(st.data())
def test_a_document_cut_anywhere_is_broken_and_never_read_as_another(data: st.DataObject) -> None:
    whole = (
        '{"t":[1711670400],"c":["353446.62655678"],"x":{"é":[true,null,1.5e3,"\\u00e9"]}}'.encode()
    )
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(JsonBroken):
        loads(whole[:end])
