"""Terraform in the pipeline: a plan that people see, and the very plan they saw applied.

The plan is kept between the two jobs in the state's own bucket, under the run's number: it holds what the
state holds, so it gets the same protection, and nothing of it passes through GitHub but its text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.release.running import Run

FOLDER: Final = Path("infra/terraform")
_OUTPUTS_CHANGED: Final = "Changes to Outputs"


@dataclass(frozen=True)
class Place:
    """Which environment, and where its state and this run's plan are kept."""

    environment: str
    bucket: str
    region: str
    run: str
    terraform: tuple[str, ...] = ("sh", "scripts/terraform.sh")

    @property
    def state(self) -> str:
        """The state's key."""
        return f"mms-{self.environment}/terraform.tfstate"

    @property
    def plan(self) -> str:
        """The plan's key."""
        return f"mms-{self.environment}/plans/{self.run}.tfplan"

    @property
    def command(self) -> list[str]:
        """Terraform, in its folder."""
        return [*self.terraform, f"-chdir={FOLDER}"]


def initialise(place: Place, run: Run) -> None:
    """Connect to the state; the provider's hashes must be those of the lock file."""
    backend = {"bucket": place.bucket, "key": place.state, "region": place.region}
    options = [f"-backend-config={name}={value}" for name, value in backend.items()]
    run(
        [
            *place.command,
            "init",
            "-input=false",
            "-no-color",
            "-reconfigure",
            "-lockfile=readonly",
            *options,
        ],
        None,
    )


def make_plan(place: Place, run: Run, s3: Any, file: Path, variables: list[str]) -> str:
    """Plan, keep the plan in the bucket, and return it as text."""
    initialise(place, run)
    base = place.command
    given = [f"-var-file={place.environment}.tfvars", f"-var=region={place.region}"]
    given += [f"-var={each}" for each in variables]
    run(
        [*base, "plan", "-input=false", "-no-color", "-lock-timeout=5m", f"-out={file}", *given],
        None,
    )
    text = run([*base, "show", "-no-color", str(file)], None)
    s3.upload_file(str(file), place.bucket, place.plan)
    file.unlink()
    return text


def apply_plan(place: Place, run: Run, s3: Any, file: Path, outputs: Path) -> dict[str, int]:
    """Apply the run's plan and write the outputs; returns how many resources there are by type.

    Terraform refuses a plan that the state has moved on from: then nothing is changed.
    """
    initialise(place, run)
    s3.download_file(place.bucket, place.plan, str(file))
    base = place.command
    run([*base, "apply", "-input=false", "-no-color", "-lock-timeout=5m", str(file)], None)
    file.unlink()
    s3.delete_object(Bucket=place.bucket, Key=place.plan)
    outputs.write_text(run([*base, "output", "-json"], None), encoding="utf-8")
    return resources(run([*base, "show", "-json"], None))


def resources(state: str) -> dict[str, int]:
    """How many resources of each type a state holds, from `terraform show -json`; not what it reads."""
    counted: dict[str, int] = {}

    def count(module: Any) -> None:
        for each in module.get("resources", []):
            if each["mode"] == "managed":
                counted[each["type"]] = counted.get(each["type"], 0) + 1
        for child in module.get("child_modules", []):
            count(child)

    count(json.loads(state).get("values", {}).get("root_module", {}))
    return counted


def summary_of(plan: str) -> str:
    """Terraform's own line on what a plan does."""
    for line in plan.splitlines():
        if line.startswith("Plan:") or line.startswith("No changes."):
            return line
    return "Only outputs change." if _OUTPUTS_CHANGED in plan else "Terraform said nothing of it."
