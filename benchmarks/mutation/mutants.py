"""Single faults in a module: each a change of one operator, number or condition."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

Change = Callable[[Any], None]

_OPERATORS: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


@dataclass(frozen=True)
class Mutant:
    """A module's text with one fault, and where and what that is."""

    line: int
    what: str
    text: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module. Documentation, annotations and constants of types stay as they are."""
    tree = ast.parse(source)
    ignored = _ignored(tree)
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in ignored:
            continue
        for what, change in _changes(node):
            mutated = copy.deepcopy(tree)
            target = next(each for n, each in enumerate(ast.walk(mutated)) if n == number)
            change(target)
            line = getattr(node, "lineno", 0)
            yield Mutant(line, what, ast.unparse(ast.fix_missing_locations(mutated)))


def _ignored(tree: ast.AST) -> set[int]:
    """Nodes whose change nobody could notice, or that are not code."""
    found: set[int] = set()

    def skip(node: ast.AST | None) -> None:
        if node is not None:
            found.update(id(each) for each in ast.walk(node))

    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            skip(node.returns)
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                skip(argument.annotation)
        elif isinstance(node, ast.AnnAssign):
            skip(node.annotation)
        elif isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
            skip(node)  # what a message says is for people
    return found


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in _OPERATORS:
        other = _OPERATORS[type(node.op)]
        yield f"{type(node.op).__name__} → {other.__name__}", _set_operator(other)
    elif isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            if type(operator) in _OPERATORS:
                other = _OPERATORS[type(operator)]
                yield f"{type(operator).__name__} → {other.__name__}", _set_comparison(at, other)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield f"{node.value} → {node.value + 1}", _set_value(node.value + 1)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield f"{node.value} → {not node.value}", _set_value(not node.value)


def _set_operator(other: type[ast.AST]) -> Change:
    def change(node: Any) -> None:
        node.op = other()

    return change


def _set_comparison(at: int, other: type[ast.AST]) -> Change:
    def change(node: Any) -> None:
        node.ops[at] = other()

    return change


def _set_value(value: object) -> Change:
    def change(node: Any) -> None:
        node.value = value

    return change
