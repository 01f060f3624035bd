"""The environment to deploy to, from what `terraform output -json` prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from infra.deploy.errors import CannotStart
from infra.deploy.model import Network, Target

_MIGRATE: Final = "migrate"


def read_outputs(path: Path) -> dict[str, Any]:
    """The value of each output. Raises CannotStart where the file is not what Terraform prints."""
    try:
        printed = json.loads(path.read_bytes())
        return {str(name): output["value"] for name, output in printed.items()}
    except OSError as error:
        raise CannotStart(
            f"{path} cannot be read ({error.strerror}): write it by `terraform output -json`"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CannotStart(
            f"{path} is not what `terraform output -json` prints: {error!r}"
        ) from error


def target_of(outputs: Mapping[str, Any]) -> Target:
    """The environment that the outputs describe. Raises CannotStart where one of them is missing.

    What has a schedule of its name is started by its family alone, and therefore held back.
    """
    try:
        families = dict(outputs["task_families"])
        services = {
            str(name): str(families[kind]) for kind, name in outputs["service_names"].items()
        }
        scheduled = sorted(families[kind] for kind in outputs["schedule_names"])
        used = {families[_MIGRATE], *services.values(), *scheduled}
        return Target(
            cluster=outputs["cluster_name"],
            network=Network(
                tuple(outputs["private_subnet_ids"]), (outputs["security_group_ids"][_MIGRATE],)
            ),
            migrate=families[_MIGRATE],
            services=services,
            held=tuple(scheduled),
            plain=tuple(sorted(set(families.values()) - used)),
            image_parameter=outputs.get("image_parameter_name"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CannotStart(
            f"Terraform's outputs are not those of this project: {error!r}"
        ) from error
