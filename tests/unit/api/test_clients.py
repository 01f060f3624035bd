"""Who a client is: nobody chooses that himself."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.clients import Clients, host_of
from app.core.setting_edge import network

PROXIES = [network("10.0.0.0/8"), network("fd00::/8"), network("192.0.2.1")]


def client(peer: str, *lines: str, trusted: Sequence[str] | None = None) -> tuple[str, str]:
    """The client of two equal requests: what is remembered makes no difference."""
    networks = PROXIES if trusted is None else [network(each) for each in trusted]
    clients = Clients(networks)
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in lines]
    first = clients.of(peer, headers)
    assert clients.of(peer, headers) == first
    return first


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ((), "10.0.0.7"),
        (("",), "10.0.0.7"),
        (("198.51.100.1",), "198.51.100.1"),
        (("6.6.6.6, 198.51.100.1",), "198.51.100.1"),
        (("6.6.6.6, 198.51.100.1, 10.1.1.1",), "198.51.100.1"),
        (("6.6.6.6", "198.51.100.1", "192.0.2.1,10.1.1.1"), "198.51.100.1"),
        (("10.2.2.2, 10.1.1.1",), "10.2.2.2"),
        (("6.6.6.6, nonsense, 10.1.1.1",), "10.1.1.1"),
        (("6.6.6.6, , 10.1.1.1",), "10.1.1.1"),
        (("6.6.6.6, unknown",), "10.0.0.7"),
        (("198.51.100.1:4711",), "198.51.100.1"),
        (("198.51.100.1:x",), "10.0.0.7"),
        (("[2001:db8::1]:4711, 10.1.1.1:80",), "2001:db8::1"),
        (("[2001:db8::1]",), "2001:db8::1"),
        (("[198.51.100.1]:80",), "10.0.0.7"),
        (("2001:DB8:0::1",), "2001:db8::1"),
        (("198.51.100.1, fd00::7",), "198.51.100.1"),
        (("::ffff:198.51.100.1",), "198.51.100.1"),
        (("198.51.100.1, ::ffff:10.1.1.1",), "198.51.100.1"),
        (("x" * 60_000,), "10.0.0.7"),
        (("6.6.6.6, " * 6_000 + "198.51.100.1",), "198.51.100.1"),
    ],
)
def test_behind_trusted_proxies_the_client_is_the_last_address_that_is_none(
    lines: tuple[str, ...], address: str
) -> None:
    assert client("10.0.0.7", *lines)[0] == address
    assert client("::ffff:10.0.0.7", *lines)[0] == address


addresses = st.ip_addresses().map(str) | st.text(max_size=20)


@given(st.ip_addresses(), st.lists(addresses))
def test_without_a_trusted_peer_the_header_is_ignored(
    peer: ipaddress.IPv4Address, forwarded: list[str]
) -> None:
    line = ", ".join(forwarded).encode("utf-8").decode("latin-1")
    assert client(str(peer), line, trusted=()) == client(str(peer), trusted=())


@given(st.lists(addresses))
def test_what_stands_before_the_address_that_a_proxy_wrote_changes_nothing(
    forwarded: list[str],
) -> None:
    written = [*forwarded, "198.51.100.1"]
    line = ", ".join(written).encode("utf-8").decode("latin-1")
    assert client("10.0.0.7", line)[0] == "198.51.100.1"


def test_an_ipv6_client_is_counted_with_all_of_its_64() -> None:
    assert client("2001:db8:1:2::1")[1] == client("2001:db8:1:2:3:4:5:6")[1] == "2001:db8:1:2::/64"
    assert client("2001:db8:1:3::1")[1] != client("2001:db8:1:2::1")[1]
    assert client("::ffff:192.0.2.7") == client("192.0.2.7") == ("192.0.2.7", "192.0.2.7")


def test_a_peer_without_an_address_is_this_machine() -> None:
    assert [host_of(peer) for peer in (None, "", "/run/api.sock", ())] == ["127.0.0.1"] * 4
