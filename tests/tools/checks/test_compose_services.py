"""The order in which services start, as docker-compose.yml means it."""

from __future__ import annotations

import pytest

from checks.compose.services import COMPLETED, HEALTHY, of_profile, read

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


def test_a_profiles_services_come_after_those_that_they_need() -> None:
    services = read(MADE)
    order = [service.name for service in of_profile(services, "full")]
    assert sorted(order) == ["api", "cache", "db", "migrate"]
    for name, service in services.items():
        assert all(order.index(need) < order.index(name) for need in service.needs)
    assert [service.name for service in of_profile(services, "demo")] == ["db", "migrate"]
    with pytest.raises(KeyError, match="cache"):
        of_profile({name: made for name, made in services.items() if name != "cache"}, "full")
