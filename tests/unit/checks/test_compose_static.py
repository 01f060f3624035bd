"""What is said of docker-compose.yml without starting anything."""

from __future__ import annotations

from typing import Any

import pytest

from checks.compose.static import exposed

CAREFUL: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "read_only": True,
    "mem_limit": "128m",
}


def made(**services: dict[str, Any]) -> dict[str, Any]:
    return {"services": services}


def test_a_service_without_rights_is_as_it_should_be() -> None:
    assert exposed(made(api=CAREFUL)) == []


@pytest.mark.parametrize("key", list(CAREFUL))
def test_what_a_service_lacks_is_named(key: str) -> None:
    service = {name: value for name, value in CAREFUL.items() if name != key}
    assert exposed(made(api=CAREFUL, other=service)) == [f"other: {key}"]


def test_rights_that_are_given_back_are_noticed() -> None:
    service = {**CAREFUL, "cap_drop": ["NET_RAW"], "read_only": False}
    assert exposed(made(api=service)) == ["api: cap_drop", "api: read_only"]


def test_only_the_databases_write_their_root() -> None:
    service = {name: value for name, value in CAREFUL.items() if name != "read_only"}
    assert exposed(made(postgres=service)) == []
    assert exposed(made(grafana=service)) == ["grafana: read_only"]
