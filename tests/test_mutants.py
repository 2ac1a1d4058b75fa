"""Slips planted at random in experiments, charts and metrics are noticed by the tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants import Mutant, drawn, mutant, places, survivors

CODE = '''
"""Not touched."""
from a import b

def share(n: int, of: int = 3) -> float:
    """Not touched."""
    if n > of and not b:
        raise ValueError(f"n: got {n}, allowed is {of + 1}", "as", "said")
    return max([n, of], key=len) / 2.0 if n else "none"
'''


def test_every_kind_of_slip_is_made_once_each_and_nothing_else() -> None:
    made = [mutant("share.py", CODE, n) for n in range(len(list(places(ast.parse(CODE)))))]
    told = [(m.kind, m.before, m.after) for m in made if len(m.before) < 20]
    assert told == [
        ("number", "3", "4"),
        ("logic", "n > of and (not b)", "n > of or not b"),
        ("comparison", "n > of", "n >= of"),
        ("logic", "not b", "b"),
        ("arithmetic", "of + 1", "of - 1"),
        ("number", "1", "2"),
        ("order", "[n, of]", "[of, n]"),
        ("number", "2.0", "5.0"),
        ("word", "'none'", "'none~'"),
    ]
    whole = ast.unparse(ast.parse(CODE))
    assert all(m.source != whole and ast.unparse(ast.parse(m.source)) == m.source for m in made)


def test_the_same_seed_draws_the_same_mutants() -> None:
    first, again, other = (
        [(m.file, m.line, m.after) for m in drawn(30, seed)] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert len(set(first)) > 25


@pytest.mark.soak
def test_nine_of_ten_mutants_are_noticed(tmp_path: Path) -> None:
    n = 200
    lived: list[Mutant] = survivors(drawn(n, seed=1), tmp_path)
    assert len(lived) <= n // 10, "\n".join(map(str, lived))
