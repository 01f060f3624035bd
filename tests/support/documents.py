"""The documents as data: their headings, links, blocks and commands, and the problems of each."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import shlex
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePath
from typing import Any, Final, NoReturn

import pytest

from tests.support.logs import log_as_before
from tests.support.processes import ROOT

NEEDS: Final = {"account", "docker", "network", "root", "systemd", "terraform", "time"}
"""What a block of commands may be marked with; docs/contributing.md explains each."""

SHELL: Final = "sh"
"""The kind of a block whose lines are commands."""

_UNSEEN: Final = {".venv", ".tools", ".git", ".pytest_cache", "data", "htmlcov", "node_modules"}
_FENCE: Final = re.compile(r" *(`{3,}) *(\S*)")
_MARK: Final = re.compile(r"<!-- needs: ([a-z, ]+) -->")
_HEADING: Final = re.compile(r"(#{1,6}) +(.*?)#* *$")
_LINK: Final = re.compile(r"\[[^]]*]\(([^)\s]+)\)")
_ELSEWHERE: Final = re.compile(r"[a-z]+:")
_INLINE: Final = re.compile(r"`((?:make|mms|python3?|uvicorn|pytest) [^`\n]*|\.ci/run)`")
_JOINS: Final = {"&&", "||", "|", "&", ";"}
_REDIRECTION: Final = re.compile(r"[0-9]?[<>]")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a document: where it begins, its kind (`sh`), its text, and its mark."""

    document: Path
    line: int
    kind: str
    text: str
    needs: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Its command lines, whole where a backslash or a quotation continues them."""
        lines: list[str] = []
        for line in self.text.splitlines() if self.kind == SHELL else []:
            if lines and not _is_whole(lines[-1]):
                lines[-1] = f"{lines[-1].removesuffix(chr(92))}\n{line}"
            elif line and not line.startswith("#"):
                lines.append(line)
        return lines


def _is_whole(line: str) -> bool:
    try:
        shlex.split(line, comments=True)
    except ValueError:  # a quotation is open, or a backslash stands at the end
        return False
    return True


def documents(root: Path = ROOT) -> list[Path]:
    """Every Markdown file of the project."""
    found = root.rglob("*.md")
    return sorted(path for path in found if _UNSEEN.isdisjoint(path.relative_to(root).parts))


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of a document, from top to bottom."""
    return list(_split(document)[1])


def prose(document: Path) -> str:
    """The document without its blocks."""
    return _split(document)[0]


def _split(document: Path) -> tuple[str, list[Block]]:
    outside: list[str] = []
    inside: list[str] | None = None
    fence, found = "", []
    begun, kind, needs = 0, "", frozenset[str]()
    for number, line in enumerate(document.read_text().splitlines(), start=1):
        match = _FENCE.match(line)
        if inside is None and match:
            fence, kind = match.groups()
            mark = _MARK.fullmatch(outside[-1].strip()) if outside else None
            needs = frozenset(re.findall(r"[a-z]+", mark[1])) if mark else frozenset()
            inside, begun = [], number
        elif inside is not None and line.strip() == fence:
            text = "".join(f"{each}\n" for each in inside)
            found.append(Block(document, begun, kind, text, needs))
            inside = None
        elif inside is not None:
            inside.append(line)
        else:
            outside.append(line)
    return "\n".join(outside), found


def headings(document: Path) -> list[tuple[int, str]]:
    """The level and the text of each heading."""
    matches = (_HEADING.fullmatch(line) for line in prose(document).splitlines())
    return [(len(match[1]), match[2]) for match in matches if match]


def anchors(document: Path) -> set[str]:
    """What a link can name after the #, by GitHub's rule."""
    names: dict[str, int] = {}
    for _, text in headings(document):
        plain = re.sub(r"[^\w\- ]", "", _LINK.sub("", text).lower()).replace(" ", "-")
        names[plain] = names.get(plain, -1) + 1
        if names[plain]:
            names[f"{plain}-{names[plain]}"] = 0
    return set(names)


def dead_links(root: Path = ROOT) -> list[str]:
    """Each link of a document to a file or a heading that is not there."""
    dead = []
    for document in documents(root):
        for target in _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(document))):
            name, _, anchor = target.partition("#")
            if _ELSEWHERE.match(target):
                continue
            file = document.parent / name if name else document
            if not file.exists() or (anchor and anchor not in anchors(file)):
                dead.append(f"{document.relative_to(root)}: {target}")
    return dead


def quoted_commands(document: Path) -> list[str]:
    """The commands that stand in a sentence or a table."""
    return _INLINE.findall(prose(document))


def setting_problems(page: str, declared: Mapping[str, str]) -> list[str]:
    """How the tables of a page differ from the settings and their defaults."""
    tables = re.findall(r"(?m)^\| name \| default \|.*\n\|[-|: ]+\n((?:\|.*\n)+)", page)
    rows = re.findall(
        r"(?m)^\| `(\w+)` \| (?:`([^`]*)`|–) \| [^|]*[^| ] *\| [^|]*[^| ] *\|", "".join(tables)
    )
    listed = dict(rows)
    problems = [f"{name} is not in the page" for name in declared if name not in listed]
    problems += [f"{name} in the page is not a setting" for name in listed if name not in declared]
    problems += [
        f"{name} has the default {declared[name]!r}, and {default!r} in the page"
        for name, default in listed.items()
        if declared.get(name, default) != default
    ]
    return problems


def translation_problems(original: Path, translation: Path) -> list[str]:
    """What the translation lacks: a section, a block, or the very words of a block."""
    problems = []
    levels, translated = (
        [level for level, _ in headings(each)] for each in (original, translation)
    )
    if levels != translated:
        problems.append(f"its headings are {translated}, not {levels}")
    code, other = (
        [(block.kind, block.text, block.needs) for block in blocks(each)]
        for each in (original, translation)
    )
    if len(code) != len(other):
        problems.append(f"it has {len(other)} blocks, not {len(code)}")
    problems += [
        f"it lacks the block {text.splitlines()[0]!r}"
        for kind, text, needs in code
        if (kind, text, needs) not in other
    ]
    return problems


def map_problems(page: str, files: Iterable[PurePath]) -> list[str]:
    """The folders that the map of a page lacks, or names although no file is in them.

    It has to name every folder at the top of the project and every one below app/.
    """
    named = set(re.findall(r"(?m)^([.a-z_/]+)/(?: |$)", page))
    folders = {str(folder) for file in files for folder in file.parents} - {"."}
    needed = {name for name in folders if "/" not in name or name.startswith("app/")}
    return [f"{name}/ is not in the map" for name in sorted(needed - named)] + [
        f"{name}/ is in the map and not there" for name in sorted(named - folders)
    ]


def name_problems(page: str, root: Path = ROOT) -> list[str]:
    """What a page names as `file.py` or `file.py: name` and is not there; paths are below app/."""
    problems = []
    for file, names in re.findall(r"`([\w/]+\.py)(?:: ([\w, ]+))?`", page):
        path = next((each for each in (root / "app" / file, root / file) if each.exists()), None)
        if path is None:
            problems.append(f"{file} is not there")
            continue
        text = path.read_text()
        problems += [
            f"{file} has no {name}"
            for name in re.findall(r"\w+", names)
            if not re.search(rf"(?m)^ *(?:(?:async )?def|class) {name}\b|^{name}\b.* = ", text)
        ]
    return problems


def absent_tests(page: str, root: Path = ROOT) -> list[str]:
    """What a page names as `tests/file.py::name` and is not there."""
    return [
        f"{file} has no {name}"
        for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
        if not (path := root / file).is_file()
        or not re.search(rf"(?m)^(?:async )?def {name}\(", path.read_text())
    ]


def targets() -> set[str]:
    """Everything that `make` may be asked for."""
    rules = re.findall(r"(?m)^([a-z][a-z_ -]*):(?!=)", (ROOT / "Makefile").read_text())
    return {name for rule in rules for name in rule.split()}


def command_problems(command: str) -> list[str]:
    """The words of a command line that do not exist or are not accepted; … is any word."""
    if "…" in command:
        return []
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return [f"{command}: is no command line"]
    return [problem for simple in _simple_commands(words) for problem in _problems(simple)]


def _simple_commands(words: Sequence[str]) -> Iterator[list[str]]:
    """The commands of a line, without what joins them, assignments in front, and redirections."""
    simple: list[str] = []
    for word in [*words, ";"]:
        if word in _JOINS:
            if simple:
                yield simple
            simple = []
        elif (simple or not _ASSIGNMENT.match(word)) and not _REDIRECTION.match(word):
            simple.append(word)


def _problems(words: Sequence[str]) -> list[str]:
    program, rest = words[0].rpartition("/")[2], list(words[1:])
    if program == "make":
        return _make_problems(rest)
    if re.fullmatch(r"python[0-9.]*", program) and rest[:1] == ["-m"]:
        return _module_problems(rest[1], rest[2:])
    if program == "mms":
        return _module_problems("app", rest)
    if program == "uvicorn" and rest and rest[0].startswith("app"):
        module, _, attribute = rest[0].partition(":")
        there = importlib.util.find_spec(module) is not None
        there = there and hasattr(importlib.import_module(module), attribute)
        return [] if there else [rest[0]]
    return []


def _make_problems(rest: Sequence[str]) -> list[str]:
    asked = [name for name in rest if "=" not in name and not name.startswith("-")]
    missing = [f"make {name}" for name in asked if name not in targets()]
    if missing or not any(word.startswith("ARGS=") for word in rest):
        return missing
    command = ["make", "--no-print-directory", "--dry-run", *rest]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    # The last line is the command itself; those before it prepare the environment.
    words = shlex.split(done.stdout.splitlines()[-1])
    modules = [here for here, word in enumerate(words) if word == "-m"]
    return _module_problems(words[modules[-1] + 1], words[modules[-1] + 2 :]) if modules else []


def _module_problems(module: str, arguments: Sequence[str]) -> list[str]:
    """Whether `python -m module` takes these arguments; modules of others are not checked."""
    if module.partition(".")[0] not in ("app", "benchmarks", "checks", "infra"):
        return []
    program = _program(module)
    if program is None:
        return [f"python -m {module}"]
    if not arguments or (module.startswith("infra.") and module != "infra.deploy"):
        return []  # only named; or what it is to do is in the environment
    said = _refusal(program, arguments)
    return [] if said is None else [f"python -m {module} {shlex.join(arguments)}: {said}"]


def _program(module: str) -> str | None:
    """The module that `python -m` runs: with a main part, or a package's `__main__`."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    if spec is not None and spec.submodule_search_locations:
        return _program(f"{module}.__main__")
    if spec is None or spec.origin is None:
        return None
    runs = module.endswith("__main__") or '__name__ == "__main__"' in Path(spec.origin).read_text()
    return module if runs else None


class _Parsed(BaseException):
    """The command line was understood. Like an interrupt, nothing on the way may catch it."""


def _refusal(program: str, arguments: Sequence[str]) -> str | None:
    """What a program says against a command line; None where it would begin to work."""
    parse = argparse.ArgumentParser.parse_args

    def parsed(parser: argparse.ArgumentParser, *given: Any) -> NoReturn:
        parse(parser, *given)
        raise _Parsed

    said = StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        _signals_as_before(),
        log_as_before(),
        redirect_stdout(said),
        redirect_stderr(said),
    ):
        patch.setattr(argparse.ArgumentParser, "parse_args", parsed)
        try:
            code = importlib.import_module(program).main(list(arguments))
        except _Parsed:
            return None
        except SystemExit as end:
            code = end.code
    return None if code == 0 else said.getvalue().strip().splitlines()[-1]


@contextmanager
def _signals_as_before() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
