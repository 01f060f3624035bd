"""What memcached holds is used only if this installation has signed it for that very name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.cache.signing import Signer

OURS = Signer(b"sixteen characters")
NAME = OURS.entry_name("2 little BTC-BRL 1d 20 1865000000000000000 2")
VALUE = bytes(range(256)) * 2
SIGNED = OURS.signed(NAME, VALUE)

without_secret = pytest.mark.parametrize("signer", [OURS, Signer(None)], ids=["secret", "none"])


@without_secret
@given(value=st.binary(max_size=100))
def test_what_was_signed_is_verified_to_the_last_byte(signer: Signer, value: bytes) -> None:
    verified = signer.verified(NAME, signer.signed(NAME, value))
    assert verified is not None
    assert bytes(verified) == value


@without_secret
def test_every_truncation_and_every_change_of_a_single_byte_is_refused(signer: Signer) -> None:
    signed = signer.signed(NAME, VALUE)
    cuts = [signed[:length] for length in range(len(signed))]
    altered = [
        signed[:place] + bytes([signed[place] ^ 1 << place % 8]) + signed[place + 1 :]
        for place in range(len(signed))
    ]
    spoilt = [*cuts, *altered, signed + b"\0", VALUE]
    assert [each for each in spoilt if signer.verified(NAME, each) is not None] == []


def test_a_value_counts_under_its_own_name_and_with_its_own_secret_alone() -> None:
    assert OURS.verified(NAME, SIGNED) is not None
    assert OURS.verified(OURS.entry_name("another key"), SIGNED) is None
    for other in (Signer(None), Signer(b""), Signer(b"other characters")):
        assert other.verified(NAME, SIGNED) is None
        assert OURS.verified(NAME, other.signed(NAME, VALUE)) is None


@given(key=st.text(max_size=400))
def test_a_name_fits_memcached_tells_nothing_and_is_another_for_each_secret_and_use(
    key: str,
) -> None:
    other = Signer(b"other characters")
    uses = (OURS.entry_name, OURS.count_name, other.entry_name, other.count_name)
    names = [use(key) for use in uses]
    assert names == [use(key) for use in uses]
    digests = {name.rpartition(":")[2] for name in names}
    assert len(digests) == 4
    for name in names:
        assert len(name) <= 250
        prefix, _, digest = name.rpartition(":")
        assert prefix in ("mms:2", "mms:rate:2")
        assert len(bytes.fromhex(digest)) == 16
