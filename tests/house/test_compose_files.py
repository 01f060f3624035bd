"""The scripts around docker-compose.yml, and what of the file its users rely on before it runs.

Rights, pinned images and secrets in the file `make compose-check` reads with a parser.
"""

from __future__ import annotations

import math
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from app.core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()


def test_nothing_is_published_beyond_this_machine() -> None:
    published = re.findall(r"(?m)^ +ports: \[(.*)\]$", COMPOSE)
    assert published
    assert [ports for ports in published if not ports.startswith('"127.0.0.1:')] == []


def test_nobody_collects_until_one_setting_opens_it_at_nginx_and_at_the_api() -> None:
    assert re.findall(r"(?m)^ +COLLECT_ACCESS: (.*)$", COMPOSE) == ["${COLLECT_ACCESS:-off}"] * 2


def test_every_service_starts_only_when_what_it_needs_is_ready() -> None:
    needs = re.findall(r"(?m)^ +[\w-]+: \{condition: (\w+)\}$", COMPOSE)
    assert set(needs) == {"service_healthy", "service_completed_successfully"}


def test_nginx_holds_up_what_the_api_would_refuse() -> None:
    """Its limits are the defaults of the settings, which speak of bytes and seconds."""
    text = (ROOT / "infra" / "nginx" / "mms-api.conf.template").read_text()

    def numbers(directive: str) -> list[int]:
        (words,) = re.findall(rf"(?m)^    {directive} (.*);$", text)
        units = {"k": 1_024, "s": 1, "": 1}
        return [int(n) * units[unit] for n, unit in re.findall(r"(\d+)([ks]?)", words)]

    limits = {name: field.default for name, field in Settings.model_fields.items()}
    assert math.prod(numbers("large_client_header_buffers")) == limits["max_header_bytes"]
    assert numbers("client_max_body_size") == [limits["max_body_bytes"]]
    assert numbers("client_header_timeout") == [limits["header_timeout_seconds"]]
    assert numbers("client_body_timeout") == [limits["body_timeout_seconds"]]
    assert numbers("send_timeout") == [limits["send_timeout_seconds"]]
    assert numbers("limit_conn clients") == [limits["max_connections_per_client"]]


def test_nginx_has_connections_for_all_streams_and_as_many_as_one_process_for_readers() -> None:
    text = (ROOT / "infra" / "nginx" / "nginx.conf").read_text()
    (connections,) = re.findall(r"(?m)^ +worker_connections (\d+);$", text)
    (files,) = re.findall(r"(?m)^worker_rlimit_nofile (\d+);$", text)
    streams = Settings.model_fields["max_streams"].default
    processes = 2
    assert 2 * streams * (processes + 1) <= int(connections) < int(files)


def test_the_image_is_built_in_one_place() -> None:
    """Compose builds every service at once, and some image stores refuse a second build."""
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
        f'#!/bin/sh\necho "$*" >>{shlex.quote(str(tmp_path / "asked"))}\ncase "$*" in '
        'pull*) exit "${PULLS:-0}" ;; build*) exit "${BUILDS:-0}" ;; '
        "*RepoDigests*) echo python@sha256:1 ;; esac\n"
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
    # Without a network the base of before is taken.
    code, (build, up) = run_in_docker(engine, PULLS="1")
    assert code == 0
    assert build.startswith("build --tag mms-api --build-arg BASE=python@sha256:1 ")
    assert up == "compose --profile laptop up --remove-orphans"
    assert (engine / "secrets" / "db_url").exists()


def test_a_profile_an_image_and_what_is_for_up_are_passed_on(engine: Path) -> None:
    words = ["--project-name", "a b", "--profile", "full", "--", "--detach", "api-1"]
    code, (build, up) = run_in_docker(engine, *words, MMS_IMAGE="other:1", BASE="python@sha256:2")
    assert code == 0
    assert build.startswith("build --tag other:1 --build-arg BASE=python@sha256:2 ")
    assert up == "compose --project-name a b --profile full up --remove-orphans --detach api-1"


def test_a_build_that_fails_starts_nothing(engine: Path) -> None:
    code, asked = run_in_docker(engine, BUILDS="1")
    assert code == 1
    assert not [line for line in asked if line.startswith("compose")]


def files(folder: Path) -> list[Path]:
    """The secrets; the keys are not of them."""
    return [path for path in folder.iterdir() if path.is_file()]


def make(folder: Path) -> dict[str, str]:
    """The secrets in the folder, by name, once the script has run."""
    subprocess.run(["sh", str(ROOT / "scripts" / "secrets.sh"), str(folder)], check=True)
    return {file.name: file.read_text().strip() for file in files(folder)}


def test_the_script_makes_every_secret_that_the_file_names_and_keeps_those_that_are_there(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "secrets"
    made = make(folder)
    assert set(made) == set(re.findall(r'\{file: "\$\{SECRETS_DIR:-./secrets\}/(\w+)"\}', COMPOSE))
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    random = {name: value for name, value in made.items() if not name.endswith("_url")}
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in random.values())
    assert len(set(random.values())) == len(random)
    assert all(made["db_password"] in made[name] for name in made.keys() - random.keys())
    (folder / "grafana_password").unlink()
    assert {n for n, value in make(folder).items() if value != made[n]} == {"grafana_password"}


def test_a_password_that_was_saved_with_a_windows_line_end_is_the_same_in_every_url(
    tmp_path: Path,
) -> None:
    (tmp_path / "db_password").write_bytes(b"mine\r\n")
    assert make(tmp_path)["db_url"] == "postgresql://mms:mine@postgres:5432/mms"


def test_only_the_owner_can_enter_the_folder_and_the_containers_can_read_the_files(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "secrets"
    make(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in files(folder)} == {0o444}
    assert (folder / "keys").stat().st_mode & 0o777 == 0o755
