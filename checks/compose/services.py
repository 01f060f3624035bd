"""docker-compose.yml as it is read here: who depends on whom, and in which state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Final

from checks.image.context import ROOT

FILE: Final = ROOT / "docker-compose.yml"
PROFILES: Final = ("laptop", "full", "demo")

HEALTHY: Final = "service_healthy"
COMPLETED: Final = "service_completed_successfully"


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `needs` says which others it waits for, and for which state of them."""

    name: str
    image: str
    profiles: tuple[str, ...]
    needs: Mapping[str, str]
    has_health: bool


def parse_yaml(text: str) -> Any:
    """What a YAML text means. The parser comes with the checks' requirements only."""
    import yaml  # noqa: PLC0415 - the rest of this module is of use without it

    return yaml.safe_load(text)


def read(given: Mapping[str, Any] | None = None) -> dict[str, Service]:
    """The services by name, of the file or of what such a file means."""
    file = parse_yaml(FILE.read_text()) if given is None else given
    return {name: _service(name, service) for name, service in file["services"].items()}


def of_profile(services: Mapping[str, Service], profile: str) -> list[Service]:
    """The services of a profile, each after those that it needs. Raises KeyError."""
    chosen = {name: service for name, service in services.items() if profile in service.profiles}
    graph = {
        name: [chosen[need].name for need in service.needs] for name, service in chosen.items()
    }
    return [chosen[name] for name in TopologicalSorter(graph).static_order()]


def one_shot(services: Mapping[str, Service]) -> set[str]:
    """Those whose successful end others wait for."""
    return {
        need
        for service in services.values()
        for need, state in service.needs.items()
        if state == COMPLETED
    }


def _service(name: str, values: Mapping[str, Any]) -> Service:
    needs = {need: how["condition"] for need, how in values.get("depends_on", {}).items()}
    health = values.get("healthcheck", {})
    has_health = bool(health) and not health.get("disable", False)
    return Service(name, values["image"], tuple(values.get("profiles", ())), needs, has_health)
