"""Terraform in the pipeline: a plan that people see, and the very plan they saw applied.

Between the two jobs the plan is kept in the state's own bucket, under the run's number. It holds
what the state holds, so it has the same protection. Only its text and its SHA-256 pass through
GitHub. Who may plan may also overwrite a waiting plan; the SHA-256 shows that.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.release.running import Run

FOLDER: Final = Path("infra/terraform")
_OUTPUTS_CHANGED: Final = "Changes to Outputs"


class PlanReplaced(Exception):
    """The plan that is kept is not the one that was shown; nothing was applied."""


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
    def applied(self) -> str:
        """The key of the mark that this run's plan was applied: who may plan cannot write it."""
        return f"mms-{self.environment}/plans/{self.run}.applied"

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


def make_plan(place: Place, run: Run, s3: Any, file: Path, variables: list[str]) -> tuple[str, str]:
    """Plan, keep the plan in the bucket, and return it as text, and its SHA-256."""
    initialise(place, run)
    base = place.command
    given = [f"-var-file={place.environment}.tfvars", f"-var=region={place.region}"]
    given += [f"-var={each}" for each in variables]
    run(
        [*base, "plan", "-input=false", "-no-color", "-lock-timeout=5m", f"-out={file}", *given],
        None,
    )
    text = run([*base, "show", "-no-color", str(file)], None)
    digest = _sha256(file)
    s3.upload_file(str(file), place.bucket, place.plan)
    file.unlink()
    return text, digest


def apply_plan(place: Place, run: Run, s3: Any, file: Path, shown: str) -> bool:
    """Apply the run's plan, whose SHA-256 is `shown`; False where this run has done so already.

    A job that failed later on can so be run again. Raises PlanReplaced where another plan is kept.
    Terraform refuses a plan that the state has moved on from. In both cases nothing is changed.
    """
    initialise(place, run)
    if _applied(place, s3) == shown:
        return False
    s3.download_file(place.bucket, place.plan, str(file))
    actual = _sha256(file)
    if actual != shown:
        raise PlanReplaced(
            f"s3://{place.bucket}/{place.plan} is not the plan that was shown: its SHA-256 is "
            f"{actual}, and should be {shown}. Nothing was applied; plan again"
        )
    run([*place.command, "apply", "-input=false", "-no-color", "-lock-timeout=5m", str(file)], None)
    file.unlink()
    s3.put_object(Bucket=place.bucket, Key=place.applied, Body=shown.encode())
    return True


def write_outputs(place: Place, run: Run, outputs: Path) -> dict[str, int]:
    """Write Terraform's outputs; returns how many resources there are by type."""
    outputs.write_text(run([*place.command, "output", "-json"], None), encoding="utf-8")
    return resources(run([*place.command, "show", "-json"], None))


def _applied(place: Place, s3: Any) -> str | None:
    """The SHA-256 of the plan that this run has applied; None where it has applied none."""
    # Without the right to list the whole bucket, S3 calls a missing object forbidden.
    listed = s3.list_objects_v2(Bucket=place.bucket, Prefix=place.applied)
    if not any(each["Key"] == place.applied for each in listed.get("Contents", [])):
        return None
    body: bytes = s3.get_object(Bucket=place.bucket, Key=place.applied)["Body"].read()
    return body.decode()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def resources(state: str) -> dict[str, int]:
    """Count a state's resources by type, from `terraform show -json`, without data sources."""
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
