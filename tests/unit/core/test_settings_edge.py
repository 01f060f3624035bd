"""The settings of the edge: rates, hosts, proxies, numbers of connections."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from app.core.setting_edge import Rate
from tests.support.api import refused, settings


def test_a_rate_is_a_number_per_unit_or_off() -> None:
    written = ("600/minute", " 5 / Second ", "1/hour", "9/day", "off")
    rates = [settings(rate_limit=text).rate_limit for text in written]
    assert rates == [Rate(600, 60), Rate(5, 1), Rate(1, 3_600), Rate(9, 86_400), "off"]


@pytest.mark.parametrize("written", ["0/minute", "600", "x/minute", "6/week", "1e3/day", "²/day"])
def test_what_is_no_rate_is_refused_with_what_is_allowed(written: str) -> None:
    said = refused(rate_limit_collect=written)
    assert said.startswith(f"RATE_LIMIT_COLLECT={written}: is not a rate; write a whole number")


def test_hosts_are_names_in_any_case() -> None:
    hosts = settings(allowed_hosts="API.example.com., mms_api").allowed_hosts
    assert hosts == ("api.example.com", "mms_api")


@pytest.mark.parametrize(
    "written", ["https://a.example", "a.example:80", "a b", "-a", "*.a.example"]
)
def test_what_is_no_name_of_a_host_is_refused(written: str) -> None:
    assert "no name of a host; write names with commas" in refused(allowed_hosts=written)


def test_production_refuses_to_be_asked_for_under_any_name() -> None:
    assert settings(allowed_hosts="*").allowed_hosts == ("*",)
    said = refused(env="prod", single_node="true", allowed_hosts="*")
    assert said.startswith("ALLOWED_HOSTS=* takes any name and ENV is prod")


def test_proxies_are_addresses_and_networks() -> None:
    proxies = settings(trusted_proxies="127.0.0.1, 10.0.0.0/16,fd00::/8").trusted_proxies
    assert proxies == tuple(map(ip_network, ("127.0.0.1", "10.0.0.0/16", "fd00::/8")))


@pytest.mark.parametrize(
    ("written", "fix"),
    [
        ("10.0.0.7/16", "write 10.0.0.0/16, with"),
        ("proxy", "write 10.0.0.7, 10.0.0.0/16 or fd00::/8"),
        ("10.0.0.0/33", "write 10.0.0.7, 10.0.0.0/16 or fd00::/8"),
    ],
)
def test_what_is_no_network_is_refused(written: str, fix: str) -> None:
    said = refused(trusted_proxies=written)
    assert f"holds '{written}', which is neither an address nor a network; {fix}" in said


def test_connections_are_a_number_or_auto() -> None:
    numbers = [
        settings(max_connections=text).max_connections for text in (" 900 ", "AUTO", 7, "000070")
    ]
    assert numbers == [900, "auto", 7, 70]
    assert "nor auto, which is 80 %" in refused(max_connections="0")
