"""Every command of the documents does what the documents say.

Each page is followed from top to bottom in a copy of the project, with a simulated exchange. Every
curl of a page goes to one demo, and every program in Python. Blocks that are marked with what they
need are only parsed, by tests/house/test_documents.py. docs/contributing.md has the convention.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.exchange import COINGECKO_PATH, V4_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.conftest import absent
from tests.support.documents import SHELL, Block, blocks, documents
from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.processes import DEADLINE, ROOT

PORTS = re.compile(r"\b(8000|8001|8080)\b")
"""The ports that the documents use; each run has others."""

SHIFTS = re.compile(r"[0-9a-f]{7,}|[0-9]+(?:\.[0-9]+)?|\s+")
"""What differs from run to run in the first line of what a command prints."""

# A translation has the very blocks of its original (tests/house/test_documents.py).
READ = [page for page in documents() if not page.name.endswith(".pt-BR.md")]

STAMPS = (".installed-run", ".installed-dev", ".installed-checks")
NOT_COPIED = {"data", "secrets", "htmlcov"}
COPIED_THOUGH_HIDDEN = {".ci", ".env.example", ".github"}


def asks(block: Block) -> bool:
    """Whether a block asks the API: a curl, or a program in Python."""
    return block.kind == "python" or any("curl " in line for line in block.commands)


def runs(block: Block) -> bool:
    """Whether a block is one that the test of its page runs."""
    return block.kind == SHELL and not block.needs and not asks(block)


def shown_after(block: Block, following: Block | None, *kinds: str) -> Block | None:
    """The block that stands right below another one, if it is of one of these kinds."""
    end = block.line + block.text.count("\n") + 1
    if following is None or following.kind not in kinds or following.line > end + 2:
        return None
    return following


PAGES = [page for page in READ if any(map(runs, blocks(page)))]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, with the installed packages and without anybody's data."""
    if shutil.which("make") is None:
        absent("make", "GNU make is not installed")
    folder = tmp_path / "mms-api"
    (folder / ".venv").mkdir(parents=True)
    for path in ROOT.iterdir():
        hidden = path.name.startswith(".") and path.name not in COPIED_THOUGH_HIDDEN
        if not hidden and path.name not in NOT_COPIED:
            (folder / path.name).symlink_to(path)
    for path in Path(sys.prefix).iterdir():
        if path.name in STAMPS or not path.name.startswith("."):
            (folder / ".venv" / path.name).symlink_to(path)
    return folder


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """An environment without this machine's settings, in which the exchange is a simulated one."""
    # Without coverage: what these commands do has tests of its own.
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    with serve(Exchange(Simulation(3), clock=time.time)) as url:
        yield {
            **kept,
            "MB_API_BASE_URL": url + V4_PATH,
            "MB_REQUESTS_PER_SECOND": "1000",
            "COINGECKO_API_BASE_URL": url + COINGECKO_PATH,
            "COINGECKO_REQUESTS_PER_SECOND": "1000",
            "PORT": str(free_port()),
        }


def run(text: str, project: Path, environment: dict[str, str]) -> str:
    """Run the lines of a block, which end by themselves, with 0; returns all that they print."""
    done = subprocess.run(
        ["sh", "-ec", text],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    assert done.returncode == 0, (text, done.stdout)
    return done.stdout


@contextmanager
def running(
    command: str, project: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Run a command that stays; end it as Ctrl-C on a terminal does."""
    process = subprocess.Popen(
        command,
        shell=True,
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
        os.killpg(process.pid, signal.SIGINT)
        # `make` itself ends with 2 or by the signal; what it ran is what counts.
        assert process.wait(DEADLINE) in (0, 2, 130, -signal.SIGINT), command
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def answers(url: str, contains: bytes) -> Callable[[], bool]:
    """Whether a GET of the URL succeeds and contains something."""

    def ask() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE) as reply:
                body: bytes = reply.read()
                return contains in body
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    return ask


# What a page shows as the answer.


def values(text: str) -> list[Any]:
    """The JSON values in a text, one after the other; numbers as they are written."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    found, text = [], text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def likeness(shown: Any, given: Any, where: str = "") -> list[str]:
    """Where a value has another shape than the one shown: its names, and the types of values."""
    if isinstance(shown, dict) and isinstance(given, dict):
        if list(shown) != list(given):
            return [f"{where}: {list(given)}, not {list(shown)}"]
        return [p for name in shown for p in likeness(shown[name], given[name], f"{where}.{name}")]
    if isinstance(shown, list) and isinstance(given, list):
        return likeness(shown[0], given[0], f"{where}[0]") if shown and given else []
    numbers = isinstance(shown, int | Decimal) and isinstance(given, int | Decimal)
    if shown is None or given is None or numbers or type(shown) is type(given):
        return []
    return [f"{where}: {given!r}, not like {shown!r}"]


def differences(question: str, answer: Block, reply: str) -> list[str]:
    """How a reply differs from the answer that the page shows.

    The demo's candles are the same for ever, so where the question names a period the values are.
    """
    problems = []
    shown, given = answer.text, reply.replace("\r", "")
    if answer.kind == "csv":
        return [] if given == shown else [f"{given!r}, not {shown!r}"]
    if answer.kind == "http":
        (head, _, shown), (told, _, given) = (text.partition("\n\n") for text in (shown, given))
        status, *headers = (line.partition(":")[0] for line in head.splitlines())
        status_given, *headers_given = (line.partition(":")[0] for line in told.splitlines())
        problems += [] if status == status_given else [f"{status_given}, not {status}"]
        problems += [f"no header {name}" for name in headers if name not in headers_given]
        links = [line for line in head.splitlines() if line.startswith("link:")]
        problems += [f"not {link}" for link in links if link not in told.splitlines()]
    for expected, value in zip_longest(values(shown), values(given)):
        if "from=" in question and "to=" in question:
            problems += [] if value == expected else [f"{value}, not {expected}"]
        else:
            problems += likeness(expected, value)
    return problems


def begins_alike(shown: str, printed: str) -> bool:
    """Whether the first line that a page shows is printed, whatever its numbers and spaces are."""
    first = SHIFTS.sub("#", shown.splitlines()[0])
    return any(SHIFTS.sub("#", line) == first for line in printed.splitlines())


def questions() -> list[tuple[Block, Block | None]]:
    """Every block that asks the API, and the answer that follows it, if any."""
    found: list[tuple[Block, Block | None]] = []
    for page in READ:
        listed = blocks(page)
        for block, following in zip_longest(listed, listed[1:]):
            if asks(block) and not block.needs:
                found.append((block, shown_after(block, following, "json", "csv", "http")))
    return found


def days_asked_for() -> int:
    """How many days the demo has to serve so that the dates in the documents are among them."""
    answered = [block.text for block, answer in questions() if answer and answer.kind != "http"]
    dates = [
        date.fromisoformat(d) for text in answered for d in re.findall(r"from=([0-9-]+)", text)
    ]
    return max(365, (datetime.now(UTC).date() - min(dates)).days + 1)


def test_the_demo_answers_every_question_of_the_documents(
    project: Path, environment: dict[str, str]
) -> None:
    if shutil.which("curl") is None:
        absent("curl", "the program curl is not installed")
    address = f"http://127.0.0.1:{environment['PORT']}"
    environment["HISTORY_DAYS"] = str(days_asked_for())
    with running("make demo", project, environment) as demo:
        assert demo.stdout is not None
        printed = ""
        for line in demo.stdout:
            printed += line
            if "Stop with Ctrl-C" in line:
                break
        shown = [each for page in READ for each in blocks(page) if "Demo:" in each.text]
        assert shown
        assert [each for each in shown if not begins_alike(each.text, printed)] == []
        until(answers(f"{address}/history/ETH", b'"id"'))
        problems = {}
        for block, answer in questions():
            text = PORTS.sub(environment["PORT"], block.text)
            # An answer that is shown may be an error; one that is not has to be a success.
            curl = f"curl --silent --show-error {'' if answer else '--fail '}"
            shell = ["sh", "-ec", text.replace("curl ", curl)]
            reply = subprocess.run(
                [sys.executable, "-c", text] if block.kind == "python" else shell,
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=True,
            ).stdout
            wrong = differences(text, answer, reply) if answer else []
            if wrong or not reply:
                problems[str(block)] = wrong or ["no reply"]
        assert problems == {}
        with urllib.request.urlopen(f"{address}/docs") as page:
            text = page.read().decode()
        assert "swagger-ui-bundle.js" in text
        assert not re.search(r"https?://(?!127\.0\.0\.1)", text)


# What a page has done.


def prices(database: Path) -> int:
    """How many prices are stored."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(database)) as connection:
        try:
            ((count,),) = connection.execute("SELECT count(*) FROM prices")
            return int(count)
        except sqlite3.OperationalError:  # not migrated yet
            return 0


def works(command: str, project: Path, port: str) -> Callable[[], bool] | None:
    """What shows that a command which stays does its work; None for one that ends by itself."""
    here = f"http://127.0.0.1:{port}"
    if command.startswith("make run_local"):
        return answers(f"{here}/BRLETH/mms?range=200", b'"mms"')
    if "-m app.serve" in command:
        return answers(f"{here}/healthz", b"alive")
    if command == "make collect":
        database = project / "data" / "mms.db"
        before = prices(database)
        return lambda: prices(database) > before
    if command.startswith("make sandbox"):
        return answers(f"{here}{V4_PATH}/symbols", b"BTC-BRL")
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_page_work_from_top_to_bottom(
    page: Path, project: Path, environment: dict[str, str]
) -> None:
    sandbox_port = str(free_port())
    listed = blocks(page)
    if shutil.which("sqlite3") is None and any("sqlite3 " in b.text for b in filter(runs, listed)):
        absent("sqlite3", "the program sqlite3 is not installed")
    with ExitStack() as sandbox:
        for block, following in zip_longest(listed, listed[1:]):
            if not runs(block) or block.commands[0].startswith("make demo"):
                continue
            port = sandbox_port if "8080" in block.text else environment["PORT"]
            text = PORTS.sub(port, block.text)
            done = works(block.commands[0], project, port)
            if done is None:
                printed = run(text, project, environment)
                shown = shown_after(block, following, "text")
                assert shown is None or begins_alike(shown.text, printed), (str(block), printed)
                continue
            assert len(block.commands) == 1, f"{block}: it stays, so the next one never runs"
            sandbox.close()
            with ExitStack() as stays:
                stays.enter_context(running(text, project, environment))
                until(done)
                if "sandbox" in text:
                    sandbox.push(stays.pop_all())


@pytest.mark.parametrize(
    ("question", "kind", "shown", "reply", "problem"),
    [
        ("x", "json", '{"a": 1.5, "b": null}', '{"a":2,"b":"x"}', None),
        ("x", "json", '[{"a": 1}]', "[]", None),
        ("x", "json", '[{"a": 1}]', '[{"b":1}]', "[0]: ['b'], not ['a']"),
        ("x", "json", '{"a": 1}', '{"a":"1"}', ".a: '1', not like 1"),
        ("from=1&to=2", "json", "[0.10]", "[0.1]", None),
        ("from=1&to=2", "json", "[0.1]", "[0.2]", "[Decimal('0.2')], not [Decimal('0.1')]"),
        ("x", "csv", "a;b\n1,0;\n", "a;b\n1,0;\n", None),
        ("x", "csv", "a;b\n1,0;\n", "a;b\n1.0;\n", "'a;b\\n1.0;\\n', not "),
        ("x", "http", "HTTP/1.1 200 OK\netag: a\n\n[]", "HTTP/1.1 200 OK\netag: b\n\n[]", None),
        ("x", "http", "HTTP/1.1 200 OK\n\n[]", "HTTP/1.1 304 No\n\n", "HTTP/1.1 304 No, not "),
        ("x", "http", "HTTP/1.1 304 No\netag: a\n", "HTTP/1.1 304 No\n\n", "no header etag"),
        (
            "x",
            "http",
            "HTTP/1.1 200 OK\nlink: <?a>\n\n[]",
            "HTTP/1.1 200 OK\nlink: <?b>\n\n[]",
            "not link: <?a>",
        ),
    ],
)
def test_an_answer_that_is_not_the_shown_one_is_noticed(
    question: str, kind: str, shown: str, reply: str, problem: str | None
) -> None:
    answer = Block(ROOT / "README.md", 1, kind, shown)
    found = differences(question, answer, reply)
    assert found[:1] == [] if problem is None else found[0].startswith(problem)


def test_what_a_command_prints_is_compared_by_its_first_line_without_numbers() -> None:
    printed = "log\nbackup: 12 rows of 7 tables (sha256 ec34b2dbf23f836f)\n"
    assert begins_alike("backup: 2263 rows of 7 tables (sha256 0123456789abcdef)\nx", printed)
    assert not begins_alike("backup: 2263 rows of 7 lists (sha256 0123456789abcdef)\n", printed)
