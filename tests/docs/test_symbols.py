"""Every symbol of every formula on the documentation's pages is explained right below it."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

import moe
from docs import hooks
from docs.generator import symbols

DOCS = Path(hooks.__file__).parent
FORMULA = re.compile(r"```math\n(.*?)```\n\n(.*?)\n(?:\n|\Z)", re.S)
PAGES = sorted(path for path in DOCS.rglob("*.md") if "```math" in path.read_text("utf-8"))
LETTERS = re.compile(r"<mi[^>]*>([^<]+)</mi>")


def plain(text: str) -> str:
    """A text without accents, tags and emphasis."""
    bare = unicodedata.normalize("NFKD", re.sub(r"<[^>]+>|[*\\]", "", text))
    return "".join(one for one in bare if not unicodedata.combining(one))


def test_pages_with_formulas_are_found() -> None:
    formulas = [m.formula for m in (*moe.ROUTERS.values(), *moe.BALANCERS.values()) if m.formula]
    found = sum(path.read_text("utf-8").count("```math") for path in PAGES)
    assert found >= len(formulas) > 30


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_letter_that_the_reader_sees_is_explained_below(path: Path) -> None:
    text = path.read_text("utf-8")
    formulas = FORMULA.findall(text)
    assert len(formulas) == text.count("```math")
    for latex, said in formulas:
        named = [plain(part.partition(":")[0].strip()) for part in said.split("; ")]
        assert all(": " in part for part in said.split("; "))
        seen = {plain(letters) for letters in LETTERS.findall(hooks.mathml(latex))}
        words = "".join(re.findall(r"\\text\{([^}]*)\}", latex))
        for letters in seen - symbols.PLAIN - {""}:
            known = any(letters in name for name in named) or letters in words
            assert known or not letters[0].isalpha(), f"{letters} of {latex} in {said}"


def test_a_symbol_without_a_meaning_is_named() -> None:
    with pytest.raises(ValueError, match=r"formula topk: got \['Q'\], allowed are symbols"):
        symbols.line(r"p = \operatorname{softmax}(x Q)", symbols.ROUTERS, "topk")


def test_every_meaning_is_used() -> None:
    known = {*moe.ROUTERS, *moe.BALANCERS, "scale"}
    assert set(symbols.OWN) <= known
    registry = {**moe.ROUTERS, **moe.BALANCERS}
    for name in set(symbols.OWN) - {"scale"}:
        found = symbols.symbols_of(registry[name].formula, symbols.EVERYWHERE | symbols.OWN[name])
        assert set(symbols.OWN[name]) <= set(found), name


@pytest.mark.parametrize(
    ("symbol", "text"),
    [
        (r"\lambda", "*λ*"), (r"\hat s", "*ŝ*"), (r"\mathcal L", "ℒ"), (r"\mathbf 1", "**1**"),
        ("f''", "*f′′*"), ("W_g", "*W*<sub>g</sub>"), ("S^*", r"*S*<sup>\*</sup>"),
        ("softmax", "softmax"), (r"\Pi", "*Π*"),
    ],
)  # fmt: skip
def test_a_symbol_is_written_as_text(symbol: str, text: str) -> None:
    assert symbols.shown(symbol) == text
