"""No secret in a layer, in what the engine tells of the image, or in what a container prints."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from checks.engine import Engine
from checks.image import layers
from checks.image.context import PLANTED, Context
from checks.image.rig import UID, Rig
from checks.report import Report

# Where a secret is handed over; the name is the engine's own convention.
_MOUNT = "/run/secrets"

# Our own things that must not be there either, as they lie in a layer.
_SUFFIXES = ("", ".css", ".html", ".js", ".py", ".pyc", ".sh", ".svg")
_NOT_SHIPPED = ("tests/", "docs/", "benchmarks/", "checks/", ".git/", "requirements/")


def prove_image(
    engine: Engine, image: str, archive: Path, context: Context, report: Report
) -> None:
    """Search all layers and descriptions for what was planted before the build."""
    entries = list(layers.files(archive))
    size = sum(len(content) for _, content in entries)
    names = [name for name, _ in entries]
    searched = f"{len(entries)} files, {size / 1e6:.0f} MB in all layers"
    # The search can find: this line is in the image, in one layer of it.
    control = layers.holders(archive, "is no entry point of this image")
    report.check("the search finds what is there", len(control) > 0, f"{control}: {searched}")
    holders = layers.holders(archive, context.mark)
    report.check(
        f"{len(PLANTED)} planted secrets in layers",
        not holders,
        f"in {holders or 'none'} of {searched}",
    )
    ours = [name for name in names if "opt/mms/" in name]
    strange = [
        name
        for name in ours
        if name.partition("opt/mms/")[2].startswith(_NOT_SHIPPED)
        or Path(name.partition(" -> ")[0]).suffix not in _SUFFIXES
    ]
    report.check("only the application is shipped", bool(ours) and not strange, strange or "yes")
    told = json.dumps(engine.inspect("image", image))
    told += engine.must("history", "--no-trunc", image)
    report.check("secrets in inspect and history", context.mark not in told, _searched(told))


def prove_container(rig: Rig, report: Report, folder: Path, volume: str) -> None:
    """Hand a secret over as a file, and find it nowhere that the engine or a log would show it."""
    mark = f"runtime{secrets.token_hex(12)}"
    url = f"postgresql://mms:{mark}@127.0.0.1:1/mms"
    handed = folder / "handed"
    handed.mkdir(exist_ok=True)
    for name, value in (("db_url", url), ("good_url", "sqlite:////data/mms.db"), ("key", mark)):
        file = handed / name
        file.write_text(f"{value}\n")
        file.chmod(0o400)
        # As an orchestrator does it: readable by the one user that the container runs as.
        _give(file)
    mount = ["--volume", f"{handed}:{_MOUNT}:ro"]
    environment = rig.settings(
        DB_URL_FILE=f"{_MOUNT}/db_url", COINGECKO_API_KEY_FILE=f"{_MOUNT}/key"
    )
    name = f"{rig.name}-secret"
    rig.engine.start(name, rig.image, [*mount, *rig.options(volume, environment)], "migrate")
    try:
        code = int(rig.engine.must("wait", name).strip())
        told = json.dumps(rig.engine.inspect("container", name))
        report.equal("migrate by DB_URL_FILE, no database", f"exit {code}", "exit 2")
        report.check("its password in inspect", mark not in told, _searched(told))
        logs = rig.logs(name)
        report.check("its password in the log", bool(logs) and mark not in logs, _searched(logs))
    finally:
        rig.engine.remove(name)
    environment |= {"DB_URL_FILE": f"{_MOUNT}/good_url"}
    done = rig.engine.once(rig.image, [*mount, *rig.options(volume, environment)], "monitor")
    report.equal("monitor by DB_URL_FILE", f"exit {done.code}", "exit 0")
    by_environment = rig.once(volume, rig.settings(DB_URL=url), "migrate")
    hidden = by_environment.code == 2 and mark not in by_environment.text
    report.check("password of DB_URL in the log", hidden, _searched(by_environment.text))
    wrong = rig.settings(DB_URL=f"mysql://mms:{mark}@db/mms")
    refused = rig.once(volume, wrong, "migrate")
    hidden = refused.code == 2 and mark not in refused.text
    report.check("password of an unusable DB_URL", hidden, _searched(refused.text))


def _searched(text: str) -> str:
    return f"looked for in {len(text)} letters"


def _give(file: Path) -> None:
    """Make the file the image's user's own, where this process may."""
    try:
        os.chown(file, UID, UID)
    except PermissionError:
        file.chmod(0o444)
