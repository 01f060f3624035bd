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


@pytest.mark.parametrize("key", list(CAREFUL))
def test_what_a_service_lacks_is_named(key: str) -> None:
    service = {name: value for name, value in CAREFUL.items() if name != key}
    assert exposed({"services": {"api": CAREFUL, "other": service}}) == [f"other: {key}"]


def test_rights_that_are_given_back_are_noticed_and_only_databases_write_their_root() -> None:
    loose = {**CAREFUL, "cap_drop": ["NET_RAW"], "read_only": False}
    services = {"postgres": {**CAREFUL, "read_only": False}, "api": loose}
    assert exposed({"services": services}) == ["api: cap_drop", "api: read_only"]
