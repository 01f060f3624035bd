"""What is known of an API key, and how it is written."""

from __future__ import annotations

from datetime import date
from hashlib import sha256

import pytest

from app.core.api_keys import ApiKey, digest_of, new_key, read_keys
from app.core.errors import ConfigurationError

DIGEST = sha256(b"a key").hexdigest()


def test_an_entry_is_read_and_written_alike() -> None:
    line = f"ops:read+collect:2027-12-31:{DIGEST}"
    (key,) = read_keys(line)
    expected = ApiKey(
        "ops", frozenset(["read", "collect"]), date(2027, 12, 31), digest_of(b"a key")
    )
    assert (key, str(key)) == (expected, line)


def test_entries_stand_in_lines_or_with_commas() -> None:
    other = sha256(b"another").hexdigest()
    third = sha256(b"third").hexdigest()
    text = f"# of 2026, made by me\na:read:2027-01-01:{DIGEST},\r\n\r\nb:collect:2027-01-01:{other}\nb:read:2028-02-29:{third}\n"
    assert [key.id for key in read_keys(text)] == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"mms_{'x' * 43}", "entry 1 is not id:scopes:expiry:sha256"),
        (f"a b:read:2027-01-01:{DIGEST}", "entry 1 is not id:scopes:expiry:sha256"),
        (f"ops:write:2027-01-01:{DIGEST}", "entry 1 (ops) has a scope that does not exist"),
        (f"ops:read:2027-02-29:{DIGEST}", "entry 1 (ops) has no last day"),
        (f"ops:read:20270228:{DIGEST}", "entry 1 (ops) has no last day"),
        (f"ops:read:2027-02-28:{DIGEST[1:]}", "entry 1 (ops) does not end with a SHA-256"),
        (
            f"a:read:2027-01-01:{DIGEST},b:collect:2027-01-01:{DIGEST.upper()}",
            "has the key of 'a' twice",
        ),
    ],
)
def test_what_is_no_entry_is_refused_without_its_text(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_keys(text)
    assert str(refused.value).startswith(problem)
    assert DIGEST not in str(refused.value)
    assert text not in str(refused.value)


def test_a_new_key_is_random_and_has_256_bits() -> None:
    assert len({new_key() for _ in range(1_000)}) == 1_000
    assert len(new_key().removeprefix("mms_")) == 43


def test_a_digest_stands_in_no_traceback() -> None:
    (key,) = read_keys(f"ops:read:2027-12-31:{DIGEST}")
    assert "digest" not in repr(key)
