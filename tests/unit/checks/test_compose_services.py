"""The order in which services start, as docker-compose.yml means it."""

from __future__ import annotations

import pytest

from checks.compose.services import COMPLETED, HEALTHY, of_profile, one_shot, read

MADE = {
    "services": {
        "api": {
            "image": "mms-api",
            "profiles": ["full"],
            "depends_on": {
                "migrate": {"condition": COMPLETED},
                "cache": {"condition": HEALTHY},
            },
            "healthcheck": {"test": ["CMD", "true"]},
        },
        "migrate": {
            "image": "mms-api",
            "profiles": ["full", "demo"],
            "depends_on": {"db": {"condition": HEALTHY}},
            "healthcheck": {"disable": True},
        },
        "db": {"image": "postgres:17.6", "profiles": ["full", "demo"]},
        "cache": {"image": "memcached:1.6.39", "profiles": ["full"]},
    }
}


def test_each_service_comes_after_those_that_it_needs() -> None:
    services = read(MADE)
    order = [service.name for service in of_profile(services, "full")]
    assert sorted(order) == ["api", "cache", "db", "migrate"]
    for name, service in services.items():
        assert all(order.index(need) < order.index(name) for need in service.needs)


def test_a_profile_has_its_own_services_only() -> None:
    assert [service.name for service in of_profile(read(MADE), "demo")] == ["db", "migrate"]


def test_a_need_that_the_profile_does_not_have_is_an_error() -> None:
    services = read(MADE)
    lonely = {name: made for name, made in services.items() if name != "cache"}
    with pytest.raises(KeyError, match="cache"):
        of_profile(lonely, "full")


def test_what_others_wait_for_to_end_is_one_shot() -> None:
    assert one_shot(read(MADE)) == {"migrate"}


def test_a_health_check_that_is_switched_off_is_none() -> None:
    services = read(MADE)
    assert {name: made.has_health for name, made in services.items()} == {
        "api": True,
        "migrate": False,
        "db": False,
        "cache": False,
    }
