"""docker-compose.yml: what can be read in it without a parser, and the scripts around it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
IGNORED = (ROOT / ".gitignore").read_text().splitlines()


def test_every_image_of_another_project_has_its_version() -> None:
    images = [name for name in re.findall(r"(?m)^ +image: (\S+)$", COMPOSE) if "$" not in name]
    assert len(images) >= 8
    pinned = re.compile(r"[a-z.]+/[a-z/-]+:v?\d+\.\d+\.\d+|[a-z.]+/[a-z/-]+:\d+\.\d+")
    assert [name for name in images if not pinned.fullmatch(name)] == []


def test_every_secret_is_a_file_that_git_does_not_know() -> None:
    (section,) = re.findall(r"(?ms)^secrets:\n(.*?)^\S", COMPOSE)
    files = re.findall(r'(?m)^  (\w+): \{file: "(.*)"\}$', section)
    assert len(files) == len(section.strip().splitlines())
    assert [path for name, path in files if path != f"${{SECRETS_DIR:-./secrets}}/{name}"] == []
    assert "/secrets/" in IGNORED


def test_the_file_holds_no_password() -> None:
    assert re.findall(r"://[^/\s:]+:[^/\s@]+@", COMPOSE) == []
    named = re.findall(r"(?im)^ +\w*(?:password|secret|token|api_key)\w*: *(.*)$", COMPOSE)
    by_file = re.compile(r'/run/secrets/\w+|\$\{\w+:-\}|\{file: ".*"\}|\[[a-z_, ]+\]|\[\]|')
    assert named
    # A list names secrets; nothing at all is the heading of a section.
    assert [value for value in named if not by_file.fullmatch(value)] == []


def test_nothing_is_published_beyond_this_machine() -> None:
    published = re.findall(r"(?m)^ +ports: \[(.*)\]$", COMPOSE)
    assert len(published) >= 4
    assert [ports for ports in published if not ports.startswith('"127.0.0.1:')] == []


def test_every_service_starts_only_when_what_it_needs_is_ready() -> None:
    needs = re.findall(r"(?m)^ +([\w-]+): \{condition: (\w+)\}$", COMPOSE)
    assert len(needs) > 15
    assert {how for _, how in needs} == {"service_healthy", "service_completed_successfully"}


def test_no_service_has_more_rights_than_it_needs() -> None:
    """`make compose-check` reads the whole file; here each part that names an image is looked at."""
    parts = [part for part in re.split(r"\n\n+", COMPOSE) if re.search(r"(?m)^ +image: ", part)]
    assert len(parts) >= 9
    for part in parts:
        if "<<: *exporter" in part:
            continue
        for line in ("cap_drop: [ALL]", "security_opt: [no-new-privileges]", "mem_limit: "):
            assert line in part, part.strip().splitlines()[0]
    (exporter,) = re.findall(r"(?ms)^x-exporter:.*?\n\n", COMPOSE)
    assert "cap_drop: [ALL]" in exporter


def test_the_image_is_built_in_one_place() -> None:
    """Compose builds for each service that says how, at once, and some image stores refuse a second one."""
    assert re.findall(r"(?m)^ *build:", COMPOSE) == []


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Programs that write down how they are called; docker answers like an engine with Compose."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "sed", "git", "dirname", "cat", "mkdir", "chmod", "mv", "od", "tr"):
        (folder / name).symlink_to(shutil.which(name) or name)
    docker = folder / "docker"
    docker.write_text(
        f'#!/bin/sh\necho "$*" >>{shlex.quote(str(tmp_path / "asked"))}\n'
        'case "$*" in pull*) exit "${PULLS:-0}" ;; *RepoDigests*) echo python@sha256:1 ;; esac\n'
    )
    docker.chmod(0o755)
    return tmp_path


def run_in_docker(engine: Path, *words: str, **given: str) -> tuple[int, list[str]]:
    """Run scripts/compose.sh; its exit code, and what it asked of docker but for the questions."""
    done = subprocess.run(
        ["sh", str(ROOT / "scripts" / "compose.sh"), *words],
        env={"PATH": str(engine / "bin"), "SECRETS_DIR": str(engine / "secrets"), **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    asked = (engine / "asked").read_text().splitlines()
    questions = ("info", "compose version", "image inspect", "pull")
    return done.returncode, [line for line in asked if not line.startswith(questions)]


def test_the_stack_runs_the_image_that_was_built_just_before_upon_a_digest(engine: Path) -> None:
    code, (build, up) = run_in_docker(engine)
    assert code == 0
    assert build.startswith("build --tag mms-api --build-arg BASE=python@sha256:1 ")
    assert "--build-arg REVISION=" in build
    assert up == "compose --profile laptop up --remove-orphans"
    assert (engine / "secrets" / "db_url").exists()


def test_a_profile_an_image_and_what_is_for_up_are_passed_on(engine: Path) -> None:
    words = ["--project-name", "a b", "--profile", "full", "--", "--detach", "api-1"]
    code, (build, up) = run_in_docker(engine, *words, MMS_IMAGE="other:1", BASE="python@sha256:2")
    assert code == 0
    assert build.startswith("build --tag other:1 --build-arg BASE=python@sha256:2 ")
    assert up == "compose --project-name a b --profile full up --remove-orphans --detach api-1"


def test_without_a_network_the_base_of_before_is_taken(engine: Path) -> None:
    code, (build, _) = run_in_docker(engine, "--profile", "demo", PULLS="1")
    assert code == 0
    assert "BASE=python@sha256:1 " in build


def test_a_build_that_fails_starts_nothing(engine: Path) -> None:
    docker = engine / "bin" / "docker"
    docker.write_text(docker.read_text().replace("pull*)", "build*) exit 1 ;; pull*)"))
    code, asked = run_in_docker(engine)
    assert code == 1
    assert not [line for line in asked if line.startswith("compose")]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder of secrets, made by the script."""
    folder = tmp_path / "secrets"
    make(folder)
    return folder


def make(folder: Path) -> str:
    script = ["sh", str(ROOT / "scripts" / "secrets.sh"), str(folder)]
    return subprocess.run(script, capture_output=True, text=True, check=True).stderr


def test_the_script_makes_every_secret_that_the_file_names(made: Path) -> None:
    named = set(re.findall(r'\{file: ".*/(\w+)"\}', COMPOSE))
    assert {file.name for file in made.iterdir()} == named
    values = {name: (made / name).read_text().strip() for name in named}
    assert len(set(values.values())) == len(named)
    for name in named - {"db_url", "db_read_url"}:
        assert re.fullmatch(r"[0-9a-f]{48}", values[name])
    assert values["db_password"] in values["db_url"]
    assert values["db_password"] in values["db_read_url"]


def test_only_the_owner_can_enter_the_folder_and_the_containers_can_read_the_files(
    made: Path,
) -> None:
    assert made.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in made.iterdir()} == {0o444}


def test_a_secret_that_is_there_is_kept(made: Path) -> None:
    before = {file.name: file.read_text() for file in made.iterdir()}
    (made / "grafana_password").unlink()
    told = make(made)
    assert told.strip() == f"Made {made / 'grafana_password'}"
    after = {file.name: file.read_text() for file in made.iterdir()}
    assert {n: t for n, t in after.items() if n != "grafana_password"} == {
        n: t for n, t in before.items() if n != "grafana_password"
    }


def test_each_panel_of_the_dashboard_asks_prometheus_something() -> None:
    files = sorted((ROOT / "infra" / "grafana" / "dashboards").glob("*.json"))
    assert files
    for file in files:
        panels = json.loads(file.read_text())["panels"]
        assert panels
        places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
        assert len(set(places)) == len(panels) == len({p["id"] for p in panels})
        for panel in panels:
            assert panel["datasource"]["uid"] == "prometheus"
            assert all(target["expr"] for target in panel["targets"])


def test_nothing_pretends_that_the_api_has_metrics() -> None:
    """They are a later piece of work: until then nothing scrapes them."""
    text = (ROOT / "infra" / "prometheus" / "prometheus.yml").read_text()
    targets = re.findall(r"targets: \[(.*)\]", text)
    assert targets
    assert [target for target in targets if "api" in target] == []
