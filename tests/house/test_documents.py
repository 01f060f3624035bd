"""The documents agree with the project: links, commands, settings, the map, the translation.

Each check is tried on a small project with a defect. tests/integration/test_documents.py runs the
commands.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path, PurePath

import pytest

from app.core.setting_sources import SECRETS
from app.core.settings import Settings
from tests.support.documents import (
    NEEDS,
    SHELL,
    absent_tests,
    blocks,
    command_problems,
    dead_links,
    documents,
    map_problems,
    name_problems,
    quoted_commands,
    setting_problems,
    targets,
    translation_problems,
)
from tests.support.processes import ROOT
from tests.support.settings import declared
from tests.support.tree import files

README = ROOT / "README.md"
PORTUGUESE = ROOT / "README.pt-BR.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
LONGEST_README = 150

NAME_WHAT_IS_GONE = {"CHANGELOG.md"}

ALL = [
    pytest.param(
        path,
        id=str(path.relative_to(ROOT)),
    )
    for path in documents()
    if path.name not in NAME_WHAT_IS_GONE
]


@pytest.mark.parametrize("document", ALL)
def test_every_command_in_a_document_exists_and_its_options_are_accepted(document: Path) -> None:
    lines = [line for block in blocks(document) for line in block.commands]
    lines += quoted_commands(document)
    assert [problem for line in lines for problem in command_problems(line)] == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("make moon", "make moon"),
        ("make test-local && make moon", "make moon"),
        ("python -m app.workers.nobody", "python -m app.workers.nobody"),
        (".venv/bin/python -m app.core", "python -m app.core"),
        ("uvicorn app.main:nothing", "app.main:nothing"),
        ("python -m app.serve --prot 1", "unrecognized arguments: --prot 1"),
        ('make initial_load ARGS="--day 0 --pairs BRLBTC"', "no whole number from 1 to 10000"),
        ('X=1 make sandbox ARGS="--prot 1"', "unrecognized arguments: --prot 1"),
        ("make collect ARGS='--once --fetch BTC'", "not allowed with argument"),
        ("make restore ARGS=--empty", "unrecognized arguments: --empty"),
        ("make reliability ARGS='--db mysql'", "invalid choice: 'mysql'"),
        ("make deploy ARGS=--plans-for-tomorrow", "unrecognized arguments"),
        ("echo 'no end", "is no command line"),
    ],
)
def test_a_command_that_does_not_exist_or_an_option_that_is_refused_is_noticed(
    line: str, problem: str
) -> None:
    assert problem in " ".join(command_problems(line))


@pytest.mark.parametrize(
    "line",
    [
        'FILE=x make demo ARGS="--port 1" && curl --silent localhost',
        "python -m app.sandbox --port 1 --fault status=503,times=10 >log 2>&1",
        "uvicorn app.main:app",
        "psql -U mms fly | grep make",
        "make deploy ARGS=--plan",
    ],
)
def test_a_command_that_works_is_no_problem(line: str) -> None:
    assert command_problems(line) == []


def test_every_target_of_make_is_in_a_block_of_some_document() -> None:
    shown = {
        word
        for document in documents()
        for block in blocks(document)
        for line in block.commands
        for word in re.findall(r"\bmake ([a-z_-]+)", line)
    }
    steps = {name for name in targets() if name.startswith("ready-")}
    assert targets() - steps - {"test", "test_local"} - shown == set()


def shell_problem(text: str) -> str:
    """What the shell says against the syntax of some lines; empty where nothing."""
    command = ["sh", "-n"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False).stderr


def test_the_shell_can_read_every_block_of_commands() -> None:
    listed = [block for document in documents() for block in blocks(document)]
    assert [str(b) for b in listed if b.kind == SHELL and shell_problem(b.text)] == []
    assert shell_problem("docker run --env A=<digest> --volume (x)\n")


def test_what_a_block_may_need_is_in_the_table_and_nothing_else() -> None:
    page = (ROOT / "docs" / "contributing.md").read_text()
    table = page.split("| mark | what is missing |\n")[1].split("\n\n")[0]
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", table)) == NEEDS
    used = {need for document in documents() for block in blocks(document) for need in block.needs}
    assert used <= NEEDS


# ------------------------------------------------------------------------------------------------


def test_every_link_leads_somewhere() -> None:
    assert dead_links() == []


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("[page](docs/page.md)", None),
        ("[part](docs/page.md#a-part-and-more)", None),
        ("[second of one name](docs/page.md#twice-1)", None),
        ("[folder](docs)", None),
        ("[here](#a-title)", None),
        ("[other place](https://example.com/nothing)", None),
        ("`[code](nothing.md)`", None),
        ("[gone](docs/gone.md)", "docs/gone.md"),
        ("[no such part](docs/page.md#a-part)", "docs/page.md#a-part"),
        ("[no such part](#twice)", "#twice"),
        ("[in a block](docs/page.md#no-heading)", "docs/page.md#no-heading"),
    ],
)
def test_a_dead_link_is_noticed(tmp_path: Path, link: str, dead: str | None) -> None:
    (tmp_path / "docs").mkdir()
    page = "# Page\n\n## A `part`, and more\n\n## Twice\n\n## Twice\n\n```sh\n# No heading\n```\n"
    (tmp_path / "docs" / "page.md").write_text(page)
    (tmp_path / "README.md").write_text(f"# A title\n\nSee {link}.\n")
    assert dead_links(tmp_path) == ([] if dead is None else [f"README.md: {dead}"])


# ------------------------------------------------------------------------------------------------


def test_every_setting_is_documented_with_its_default_and_no_other() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert setting_problems(page, declared()) == []


ROW = "| `PORT` | `8000` | 0 to 65,535 | where it listens |\n"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (ROW, None),
        ("", "PORT is not in the page"),
        (ROW + ROW.replace("PORT", "PROT"), "PROT in the page is not a setting"),
        (ROW.replace("8000", "80"), "PORT has the default '8000', and '80' in the page"),
        (ROW.replace("where it listens", ""), "PORT is not in the page"),
        (ROW.replace("0 to 65,535", ""), "PORT is not in the page"),
    ],
)
def test_a_setting_that_is_not_documented_is_noticed(row: str, problem: str | None) -> None:
    page = f"# Settings\n\n| name | default | allowed | meaning |\n|---|---|---|---|\n{row}\nEnd.\n"
    found = setting_problems(page, {"PORT": "8000"})
    assert found == ([] if problem is None else [problem])


def test_the_page_names_every_setting_that_may_come_from_a_file() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    (paragraph,) = re.findall(r"(?s)\*\*Secrets in files\.\*\*.*?\n\n", page)
    assert set(re.findall(r"`([A-Z_]+)_FILE`", paragraph)) == set(SECRETS)
    assert {name.lower() for name in SECRETS} <= set(Settings.model_fields)


# ------------------------------------------------------------------------------------------------


def test_every_test_that_a_document_names_is_there(tmp_path: Path) -> None:
    pages = [document.read_text() for document in documents()]
    assert any("`tests/" in page and "::test_" in page for page in pages)
    assert [problem for page in pages for problem in absent_tests(page)] == []
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_one(x: int) -> None: ...\n")
    page = "`tests/test_a.py::test_one`, `tests/test_a.py::test_on`, `tests/test_b.py::test_one`"
    assert absent_tests(page, tmp_path) == [
        "tests/test_a.py has no test_on",
        "tests/test_b.py has no test_one",
    ]


def is_short(document: Path) -> bool:
    return len(document.read_text().splitlines()) <= LONGEST_README


def test_every_event_of_the_log_is_documented() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    line = re.compile(r"\blog\.(?:info|warning|error|exception)\(\s*\"([a-z_]+)\"")
    events = {
        event
        for path in (ROOT / "app").rglob("*.py")
        for event in line.findall(path.read_text("utf-8"))
    }
    assert events
    assert sorted(event for event in events if f"`{event}`" not in page) == []


def test_the_readme_is_short(tmp_path: Path) -> None:
    assert is_short(README)
    (tmp_path / "README.md").write_text("\n" * (LONGEST_README + 1))
    assert not is_short(tmp_path / "README.md")


def test_the_portuguese_readme_is_the_whole_english_one() -> None:
    assert translation_problems(README, PORTUGUESE) == []


TRANSLATED = "# Um\n\n## Dois\n\n```sh\nmake demo\n```\n\n### Três\n\n```json\n{}\n```\n"


@pytest.mark.parametrize(
    ("translation", "problem"),
    [
        (TRANSLATED, None),
        (TRANSLATED.replace("## Dois\n", "", 1), "its headings are [1, 3], not [1, 2, 3]"),
        (TRANSLATED.replace("### Três", "## Três"), "its headings are [1, 2, 2], not [1, 2, 3]"),
        (TRANSLATED.replace("make demo", "make demonstração"), "it lacks the block 'make demo'"),
        (TRANSLATED.replace("```json\n{}\n```\n", ""), "it has 1 blocks, not 2"),
    ],
)
def test_a_translation_that_lacks_something_is_noticed(
    tmp_path: Path, translation: str, problem: str | None
) -> None:
    original, other = tmp_path / "README.md", tmp_path / "README.pt-BR.md"
    original.write_text(
        TRANSLATED.replace("Um", "One").replace("Dois", "Two").replace("Três", "Three")
    )
    other.write_text(translation)
    found = translation_problems(original, other)
    assert found[:1] == ([] if problem is None else [problem])


# ------------------------------------------------------------------------------------------------


def test_the_map_names_every_folder_and_no_other() -> None:
    assert (
        map_problems(ARCHITECTURE.read_text(), [path.relative_to(ROOT) for path in files()]) == []
    )


def test_the_architecture_names_only_what_is_there() -> None:
    assert name_problems(ARCHITECTURE.read_text()) == []


def test_the_floors_are_those_that_the_linter_holds() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    layers = project.split("layers = [\n")[1].split("]")[0]
    drawn = ARCHITECTURE.read_text().split("## The floors")[1].split("```text\n")[1].split("```")[0]
    assert drawn.split("\n")[:-1] == re.findall(r'"([^"]+)"', layers)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (".ci/  what runs\napp/  all\napp/db/   rows\ndocs/ pages\n", None),
        (".ci/  what runs\napp/  all\napp/db/   rows\ndocs/\ndocs/why/  reasons\n", None),
        (".ci/  what runs\napp/  all\ndocs/ pages\n", "app/db/ is not in the map"),
        ("app/  all\napp/db/  rows\ndocs/ pages\n", ".ci/ is not in the map"),
        (
            ".ci/  what runs\napp/  all\napp/db/  rows\ndocs/\nmoon/  none\n",
            "moon/ is in the map and not there",
        ),
    ],
)
def test_a_folder_that_the_map_lacks_is_noticed(lines: str, problem: str | None) -> None:
    there = map(PurePath, ["README.md", ".ci/run", "app/db/a.py", "docs/a.md", "docs/why/a.md"])
    found = map_problems(f"# House\n\n```text\n{lines}```\n", there)
    assert found == ([] if problem is None else [problem])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("`db/session.py: transaction, MOST, Store`", None),
        ("`db/session.py` and `tool.py: main`", None),
        ("`db/sessions.py`", "db/sessions.py is not there"),
        ("`db/session.py: commit`", "db/session.py has no commit"),
    ],
)
def test_a_name_that_is_not_there_is_noticed(
    tmp_path: Path, text: str, problem: str | None
) -> None:
    (tmp_path / "app" / "db").mkdir(parents=True)
    module = "MOST: Final = 1\n\n\ndef transaction():\n    commit()\n\n\nclass Store:\n    pass\n"
    (tmp_path / "app" / "db" / "session.py").write_text(module)
    (tmp_path / "tool.py").write_text("def main():\n    pass\n")
    found = name_problems(text, tmp_path)
    assert found == ([] if problem is None else [problem])
