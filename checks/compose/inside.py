"""The run itself. Without Docker it happens in its own namespaces, without any network."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from checks import engine as engines
from checks.commands import CommandFailedError, must
from checks.compose import proofs, services, standins, static
from checks.compose.services import Service
from checks.compose.stack import Stack
from checks.image.build import TAG
from checks.image.rig import free_port
from checks.report import FAILED, Report

# Readers behind nginx are one client there, which asks for more than one may. Keys open the POST.
FULL = {
    "RATE_LIMIT": "100000000/minute",
    "COLLECT_ACCESS": "key",
    "MMS_KEYS_FILE": "/run/keys/api_keys",
}
EXCHANGE = {
    "MB_API_BASE_URL": "http://sandbox:8080/api/v4",
    "COINGECKO_API_BASE_URL": "http://sandbox:8080/api/v3",
    "MB_REQUESTS_PER_SECOND": "1000",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run every profile; returns the exit code. Called by `python -m checks.compose`."""
    parser = argparse.ArgumentParser(prog="python -m checks.compose.inside", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the engine keeps its things")
    parser.add_argument("engine", choices=["docker", "podman"])
    parser.add_argument("profiles", nargs="+", choices=services.PROFILES)
    parser.add_argument(
        "--left-out", action="append", default=[], help="a service whose image is not at hand"
    )
    options = parser.parse_args(argv)
    report = Report("compose-check")
    podman = options.engine == "podman"
    if podman:
        must(["ip", "link", "set", "lo", "up"])
        # podman keeps its networks in one place for the whole machine: here it gets its own.
        engines.forget_containers(options.folder)
        for name in ("containers", "netns"):
            own, common = options.folder / "networks" / name, Path("/run", name)
            shutil.rmtree(own, ignore_errors=True)
            for place in (own, common):
                place.mkdir(parents=True, exist_ok=True)
            must(["mount", "--bind", str(own), str(common)])
    engine = engines.podman(options.folder, bridge=True) if podman else engines.Engine("docker")
    try:
        _run(engine, options, report)
    except CommandFailedError as error:
        report.check("the check itself", False, error)
        report.finish()
        return FAILED
    return report.finish()


def _run(engine: engines.Engine, options: argparse.Namespace, report: Report) -> None:
    secrets = options.folder / "secrets"
    ports = {name: str(free_port()) for name in ("MMS_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")}
    settings = {**ports, "MMS_IMAGE": TAG, "SECRETS_DIR": str(secrets)}
    project = f"mms-check-{os.getpid()}"
    every = services.read()
    stacks = [Stack(engine, project, profile, settings) for profile in services.PROFILES]
    report.section("The files")
    static.prove(report, stacks, secrets)
    static.prove_rules(report, engine, every["prometheus"].image)
    values = [file.read_text().strip() for file in secrets.iterdir() if file.is_file()]
    for stack in stacks:
        if stack.profile not in options.profiles:
            continue
        report.section(f"--profile {stack.profile}")
        try:
            _profile(stack, every, set(options.left_out), values, report)
        finally:
            stack.down()


def _profile(
    stack: Stack,
    every: Mapping[str, Service],
    left_out: set[str],
    values: list[str],
    report: Report,
) -> None:
    keys: list[proofs.Key] = []
    if stack.profile != "demo":
        # The real exchange is not asked here. The sandbox of the other profile stands in for it.
        demo = Stack(stack.engine, stack.project, "demo", stack.settings)
        demo.start([every["sandbox"]])
        demo.await_state("sandbox", "service_healthy")
        stack = Stack(stack.engine, stack.project, stack.profile, {**stack.settings, **EXCHANGE})
        if stack.profile == "full":
            stack = replace(stack, settings={**stack.settings, **FULL})
            keys = [proofs.new_key(stack.engine, TAG, name) for name in ("first", "second")]
            proofs.write_keys(Path(stack.settings["SECRETS_DIR"]), *keys)
        report.note("The sandbox stands in for the exchanges: nothing real is asked.")
    chosen = services.of_profile(every, stack.profile)
    for service in chosen:
        if service.name in left_out:
            report.leave_out(service.name, f"no {standins.base_name(service.image)} in Debian")
    started = [service for service in chosen if service.name not in left_out]

    def told(service: Service, waited: float) -> None:
        needs = ", ".join(
            f"{need} {state.removeprefix('service_')}" for need, state in service.needs.items()
        )
        report.note(
            f"started {service.name:<18} {f'after {needs} ({waited:.1f} s)' if needs else ''}"
        )

    stack.start(started, told)
    once = services.one_shot(every)
    for service in started:
        if service.name in once:
            stack.await_state(service.name, services.COMPLETED)
        else:
            stack.await_state(
                service.name, services.HEALTHY if service.has_health else "service_started"
            )
    report.check("all in the state they shall be in", True, f"{len(started)} services")
    port = int(stack.settings["MMS_PORT"])
    api = proofs.stack_api(stack)
    proofs.api_serves(stack, report, port, api)
    proofs.names_are_checked(report, port)
    proofs.companions_work(stack, report, port, "-demo" if stack.profile == "demo" else "")
    if not stack.engine.is_docker:
        proofs.nobody_outside(stack, report)
    if stack.profile != "full":
        proofs.nobody_collects(report, port)
    else:
        proofs.behind_nginx(stack, report, port)
        first, second = keys
        proofs.keys_open_the_post(stack, report, first, second)
        proofs.clients_are_told_apart(stack, report, port, second)
        proofs.replica_follows(stack, report)
        proofs.prometheus_sees(report, int(stack.settings["PROMETHEUS_PORT"]), left_out)
        if "grafana" not in left_out:
            password = Path(stack.settings["SECRETS_DIR"], "grafana_password").read_text().strip()
            proofs.grafana_shows(report, int(stack.settings["GRAFANA_PORT"]), password)
    proofs.ring_is_used(stack, report)
    proofs.secrets_stay_hidden(stack, report, values, [s.name for s in started])
    ours = [s.name for s in started if "mms-api" in s.image and s.name not in once]
    proofs.ends_well(stack, report, ours)


if __name__ == "__main__":
    sys.exit(main())
