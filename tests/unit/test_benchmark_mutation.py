"""Every planted fault is one, and what is no code stays as it is."""

from __future__ import annotations

import ast

from benchmarks.mutation.mutants import mutants

SOURCE = '''
"""Text with 1 + 1."""
LIMIT: int = 3

def within(value: int, names: list[int] | None = None) -> bool:
    """Say whether 2 < 3."""
    if value < 0 and names:
        raise ValueError(f"{value + 1} is below 0")
    total = value * 2
    total += 1
    return 0 <= total < LIMIT or value in (7,)
'''


def test_each_mutant_differs_from_the_module_in_one_place() -> None:
    original = ast.unparse(ast.parse(SOURCE)).splitlines()
    made = list(mutants(SOURCE))
    for mutant in made:
        changed = mutant.text.splitlines()
        assert len(changed) == len(original)
        assert sum(one != other for one, other in zip(original, changed, strict=True)) == 1
    assert len({mutant.text for mutant in made}) == len(made)


def test_operators_comparisons_and_numbers_are_changed() -> None:
    found = {mutant.what for mutant in mutants(SOURCE)}
    assert found == {
        "3 → 4", "Lt → LtE", "LtE → Lt", "And → Or", "Or → And", "Mult → Add", "Add → Sub",
        "0 → 1", "2 → 3", "1 → 2", "In → NotIn", "7 → 8",
    }  # fmt: skip


def test_messages_and_documentation_stay() -> None:
    for mutant in mutants(SOURCE):
        assert "{value + 1} is below 0" in mutant.text
        assert "Text with 1 + 1." in mutant.text
