"""Under which names the API is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.hosts import Hosts

SET = Hosts(("api.example.com", "mms"), "0.0.0.0,listening")
EMPTY = Hosts((), "127.0.0.1,my-machine,::1")
ANY = Hosts(("*",), "127.0.0.1")

ADDRESSES = [
    "127.0.0.1",
    "192.0.2.7:8000",
    "[::1]",
    "[2001:db8::7]:8000",
    "",
]


@pytest.mark.parametrize("hosts", [SET, EMPTY, ANY])
@pytest.mark.parametrize("host", ADDRESSES)
def test_addresses_always_pass(hosts: Hosts, host: str) -> None:
    assert hosts.allow(host.encode())


@pytest.mark.parametrize(
    ("host", "of_set", "of_empty"),
    [
        ("api.example.com", True, False),
        ("API.Example.com.:443", True, False),
        ("mms:", True, False),
        ("localhost", False, True),
        ("localhost:8000", False, True),
        ("brl.localhost", False, True),
        ("my-machine:8000", False, True),
        ("listening", False, False),
        ("evil.example", False, False),
        ("api.example.com.evil.example", False, False),
        ("x.api.example.com", False, False),
        ("localhost.evil.example", False, False),
        ("notlocalhost", False, False),
        ("127.0.0.1.evil.example", False, False),
        ("127.1", False, False),
        ("2130706433", False, False),
        ("localhost:80:80", False, False),
        ("localhost:x", False, False),
        ("me@localhost", False, False),
        ("localhost, evil.example", False, False),
        ("[127.0.0.1]", False, False),
        ("[::1]evil.example", False, False),
        ("[::1", False, False),
        ("\xff", False, False),
        ("a" * 60_000, False, False),
    ],
)
def test_a_name_passes_if_it_is_one_of_ours(host: str, of_set: bool, of_empty: bool) -> None:
    value = host.encode("latin-1")
    for _ in range(2):
        assert SET.allow(value) is of_set
        assert EMPTY.allow(value) is of_empty
        assert ANY.allow(value)


@given(st.binary())
def test_any_host_is_judged(value: bytes) -> None:
    assert EMPTY.allow(value) in (True, False)


def test_what_is_remembered_is_bounded() -> None:
    hosts = Hosts((), "127.0.0.1")
    for number in range(3_000):
        hosts.allow(b"x%d.localhost" % number)
        hosts.allow(b"x%d.evil.example" % number)
    assert len(hosts.allowed) <= 1_000
